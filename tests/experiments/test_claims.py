"""The abstract's claims: figures by their definition, verdicts by the seeds' interval, one table in three forms."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from leakysm.backends import backend
from leakysm.experiments.gradients import claims
from leakysm.experiments.gradients.claims import FEW, IN_PART, OPEN, OPPOSITE, SAME, YES, Figure, judge, judge_all
from leakysm.experiments.gradients.observed import OF_DISTANCES, columns, of_distances
from leakysm.experiments.student import quantile
from leakysm.report.report import page_of
from leakysm.training.trainer import STEP_COLUMNS
from tests.experiments.command import leakysm
from tests.experiments.test_gradients import traces

SHRINKS, GROWS = Figure("d", "d", -1), Figure("g", "g", 1)
PART = Figure("p", "p", -1, part=True)
SMALL = ("--way", 5, "--query", 2, "--steps", 1, "--seeds", 2, "--blocks", 2, "--channels", 4, "--device", "cpu")


def test_the_figures_of_an_episode_are_those_of_its_queries() -> None:
    """Two classes, two queries each: right and sure, right, wrong and sure, wrong."""
    distances = np.array([[0.0, 20.0], [1.0, 2.0], [0.0, 20.0], [1.0, 2.0]])
    probabilities = np.exp(-distances) / np.exp(-distances).sum(axis=1, keepdims=True)
    gradients = np.abs(np.eye(2)[[0, 0, 1, 1]] - probabilities)
    found = dict(zip(OF_DISTANCES, of_distances(distances, gradients), strict=True))
    assert found["largest_distance"] == 20
    assert found["distance_p99"] == np.quantile(distances, 0.99)
    assert found["mean_distance_gradient"] == gradients.mean()
    assert (found["wrong_queries"], found["certain_queries"]) == (0.5, 0.25)
    assert found["vanished_of_wrong"] == 0  # both of its entries pull
    sure = dict(zip(OF_DISTANCES, of_distances(distances[:2], np.zeros((2, 2))), strict=True))
    assert sure["wrong_queries"] == 0.5
    assert sure["vanished_of_wrong"] == 1
    right = of_distances(np.array([[0.0, 1.0], [1.0, 0.0]]), np.ones((2, 2)))
    assert math.isnan(right[OF_DISTANCES.index("vanished_of_wrong")])


def test_a_verdict_follows_from_students_interval() -> None:
    ratios = [0.5, 0.4, 0.45]
    shrinks = judge(SHRINKS, [2.0, 3.0, 4.0], [2 * 0.5, 3 * 0.4, 4 * 0.45])
    logs = np.log(ratios)
    half = quantile(0.95, 2) * logs.std(ddof=1) / 3**0.5
    expected = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    assert np.allclose([shrinks.mean, shrinks.low, shrinks.high], expected, rtol=1e-12)
    assert shrinks.verdict == YES
    assert judge(GROWS, [2.0, 3.0, 4.0], [1.0, 1.2, 1.8]).verdict == OPPOSITE
    assert judge(SHRINKS, [2.0, 3.0, 4.0], [1.0, 6.0, 4.0]).verdict == OPEN
    assert judge(PART, [0.8, 0.81, 0.82], [0.1, 0.1, 0.12]).verdict == YES
    assert judge(PART, [0.8, 0.81, 0.82], [0.1, 0.1, 0.12]).mean == pytest.approx(-70.33, abs=0.01)
    assert judge(SHRINKS, [2.0, 3.0], [1.0, 1.2]).verdict == FEW
    assert judge(SHRINKS, [2.0, 3.0], [1.0, 1.2]).low is None
    none = judge(PART, [math.nan] * 3, [0.1, 0.1, 0.1])
    assert (none.mean, none.verdict) == (None, OPEN)
    some = judge(PART, [0.8, math.nan, 0.81, 0.82], [0.1, 0.3, 0.1, math.nan])  # a seed without such queries
    assert some.mean == pytest.approx(-70.5)
    assert some.verdict == FEW
    assert judge(GROWS, [2.0, 3.0, 4.0], [2.0, 3.0, 4.0]).verdict == SAME
    assert judge(SHRINKS._replace(sign=0), [2.0, 3.0, 4.0], [1.0, 1.2, 1.8]).verdict == ""


def test_a_claim_holds_if_all_of_its_figures_do() -> None:
    assert claims.overall([YES, YES, ""]) == YES
    assert claims.overall([YES, OPPOSITE]) == claims.overall([YES, OPEN]) == IN_PART
    assert claims.overall([OPPOSITE, OPEN]) == OPEN
    assert claims.overall([OPPOSITE, SAME]) == OPPOSITE
    assert claims.overall([SAME]) == SAME
    assert claims.overall([OPPOSITE, OPPOSITE]) == OPPOSITE
    assert claims.overall([FEW, FEW]) == FEW


def test_the_leaky_distance_raises_the_gradient_of_distances_and_lowers_the_others() -> None:
    found = traces("squared-euclidean", "leaky", seeds=(0, 1, 2), steps=2)
    assert found.observed.shape == (2, 3, 2, len(columns(4)))
    verdicts = judge_all(found)
    assert len(verdicts) == 2 * len(claims.CLAIMS)
    first = {v.claim: v for v in verdicts if v.phase == "before the first update"}
    assert [v.verdict for v in first.values()] == [YES, YES, IN_PART, SAME]
    by_figure = {one.figure.column: one.verdict for one in first["the magnitude of gradients increases"].figures}
    assert by_figure.pop("mean_distance_gradient") == YES
    assert set(by_figure) == {"mean_query_gradient", *(f"weight_gradient_{b}" for b in (1, 2, 3, 4))}
    assert set(by_figure.values()) == {OPPOSITE}
    table = "\n".join(claims.text(verdicts, found.labels[0]))
    assert "in part: mean |dL/dd|; the opposite: mean |dL/dz|" in table
    # the mean entry of |dL/dd| is what the queries' own classes lack of probability 1, twice, over the classes
    means = found.figure("mean_distance_gradient")
    assert ((means > 0) & (means < 2 / 5)).all()
    assert (found.figure("largest_distance") >= found.figure("distance_p99")).all()
    assert np.allclose(found.figure("wrong_queries"), 1 - found.figure("accuracy"), atol=1e-6)


def test_the_table_is_printed_and_written_in_three_forms(tmp_path: Path) -> None:
    settings = ("--setting", "squared-euclidean", "--setting", "leaky")
    outcome = leakysm("gradients", *SMALL, *settings, "--out", tmp_path)
    assert outcome.code == 0
    assert "claims, before the first update" in outcome.out
    assert outcome.out.count(FEW) == 3
    assert outcome.out.count(SAME) == 1  # at the same weights, every rising distance decides alike
    assert "Claims: against squared-euclidean" in outcome.out
    stored = json.loads((tmp_path / "gradients.json").read_text())["claims"]
    assert [one["claim"] for one in stored] == list(claims.CLAIMS)
    assert [one["verdict"] for one in stored] == [FEW, FEW, FEW, SAME]
    (mean, *_) = stored[0]["figures"]
    assert (mean["figure"], mean["low"], len(mean["values"])) == ("mean_distance", None, 2)
    markdown = (tmp_path / "claims.md").read_text()
    assert "## Before the first update" in markdown
    assert f"x {mean['ratio']:.3g}" in markdown
    assert f"x {mean['ratio']:.3g}" in outcome.out
    page = page_of(tmp_path, backend("numpy")).decode()
    assert "The abstract&#x27;s claims, before the first update</h2>" in page
    assert page.count(f'<td class="number">{FEW}</td>') == 3
    assert f"x {mean['ratio']:.3g}" in page
    header, *rows = csv.reader((tmp_path / "claims.csv").read_text().splitlines())
    assert header == ["setting", "seed", "step", *columns(2)]
    assert len(rows) == 4
    assert not set(header[3:]) & set(STEP_COLUMNS)


def test_settings_with_parameters_of_their_own_have_a_page(tmp_path: Path) -> None:
    settings = ("--setting", "log,scale=2", "--setting", "squared-euclidean,learn_scale=true")
    assert leakysm("gradients", *SMALL, *settings, "--out", tmp_path).code == 0
    assert "squared-euclidean,learn_scale=true" in page_of(tmp_path, backend("numpy")).decode()


def test_one_setting_has_no_claims_and_that_is_said(tmp_path: Path) -> None:
    outcome = leakysm("gradients", *SMALL, "--setting", "log", "--out", tmp_path)
    assert "the abstract's claims: judged with a second setting only; add --setting" in outcome.out
