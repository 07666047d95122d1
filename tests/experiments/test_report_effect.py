"""The formulas of a report's sliders are the library's."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest

import leakysm as lk
from leakysm.choices import DISTANCES
from leakysm.ops import RestrictedSquaredEuclidean
from leakysm.ops.metrics import Metric
from leakysm.ops.restriction import Restriction
from leakysm.report.effect import FORMULAS, _table
from leakysm.training.sparsity import FIGURES, sparsity

NODE = shutil.which("node")
SQUARED = lk.SquaredEuclidean()
CASES: list[tuple[str, float, float, Metric]] = [
    ("squared-euclidean", 0, 1, SQUARED),
    ("leaky", 1, 0.03, lk.LeakySquaredEuclidean(1, 0.03)),
    ("leaky", 0, 0.1, lk.LeakySquaredEuclidean(0, 0.1)),
    ("log", 2, 1, RestrictedSquaredEuclidean(lk.Log(2))),
    ("root", 5, 1, RestrictedSquaredEuclidean(lk.Root(5))),
    ("euclidean", 0, 1, lk.Euclidean()),
]


def test_every_formula_is_looked_at() -> None:
    assert {name for name, *_ in CASES} == {*FORMULAS}, "add a case to CASES here"
    missing = {*DISTANCES} - {"cosine"} - {*FORMULAS}
    assert not missing, f"{missing}: add to effect.py and effect.js of leakysm/report"


@pytest.mark.skipif(NODE is None, reason="there is no node on this machine")
@pytest.mark.parametrize("restriction", [lk.Log(2), lk.Root(3), lk.Leak(1, 0.1)], ids=str)
def test_a_formula_is_read_off_its_table(restriction: Restriction) -> None:
    table = _table(restriction, 500.0)
    d = np.array([0.0, 1e-7, 0.01, 0.9, 2.5, 77.0, 500.0])
    code = (files("leakysm.report") / "effect.js").read_text("utf-8")
    ask = f"const one = tabulated({json.dumps(table)}); const d = {d.tolist()};"
    told = f"{code}\n{ask}\nconsole.log(JSON.stringify([d.map(one.value), d.map(one.derivative)]))"
    done = subprocess.run([str(NODE), "-"], input=told, capture_output=True, text=True, check=True)
    value, derivative = json.loads(done.stdout)
    np.testing.assert_allclose(value, restriction.value(np, d), rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(derivative, restriction.derivative(np, d), rtol=1e-2)


def test_a_formula_that_is_infinite_has_no_table() -> None:
    class Inverse(lk.Restriction):
        def value(self, xp, d):
            return -1 / d

        def derivative(self, xp, d):
            return 1 / d**2

    assert _table(Inverse(), 10.0) is None


@pytest.mark.skipif(NODE is None, reason="there is no node on this machine")
def test_the_formulas_and_their_gradients_are_the_librarys() -> None:
    rng = np.random.default_rng(0)
    x, c = 2 * rng.standard_normal((6, 8)), 2 * rng.standard_normal((4, 8))
    x[0] = c[1]  # a coincident pair
    labels = np.array([0, 1, 2, 3, 0, 1])
    net = {"squared": SQUARED(x, c).tolist(), "between": SQUARED(c, c).tolist()}
    calls = [f"episode({json.dumps(net)}, {labels.tolist()}, '{name}', {t}, {s})" for name, t, s, _ in CASES]
    code = (files("leakysm.report") / "effect.js").read_text("utf-8")
    told = f"{code}\nconsole.log(JSON.stringify([{', '.join(calls)}, byDecade([0, 1e-12, 0.02, 0.5, 1], -3)]))"
    done = subprocess.run([str(NODE), "-"], input=told, capture_output=True, text=True, check=True)
    *found, decades = json.loads(done.stdout)
    assert decades == [2, 1, 2]
    for (_, _, _, metric), one in zip(CASES, found, strict=True):
        distances = metric(x, c)
        gradients = -lk.cross_entropy_vjp(-distances, labels) * len(x)  # of the sum of the losses
        dx, _ = metric.vjp(x, c, gradients)
        figures = dict(zip(FIGURES, sparsity(distances, gradients / len(x), dx / len(x)).tolist(), strict=True))
        close = {"rtol": 1e-12, "atol": 1e-300}
        np.testing.assert_allclose([query["distances"] for query in one["queries"]], distances, **close)
        np.testing.assert_allclose(one["gradients"], np.abs(gradients).ravel(), **close)
        assert one["vanished"] == figures["vanished_distance_gradients"]
        shown = [one[name] for name in ("distance", "certainty", "length", "loss", "accuracy")]
        expected = [figures[name] for name in ("mean_distance", "mean_max_probability", "mean_query_gradient")]
        expected += [float(lk.cross_entropy(-distances, labels)), float(np.mean(distances.argmin(axis=1) == labels))]
        np.testing.assert_allclose(shown, expected, rtol=1e-9)
