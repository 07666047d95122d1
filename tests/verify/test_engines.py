"""Our own engines through the same door as everybody's: strictly, in every dtype, value and gradient."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import leakysm as lk
from leakysm.choices import BACKENDS
from leakysm.errors import UserError
from leakysm.ops.registry import OPERATIONS
from leakysm.verify.adapters import EngineImplementation, ModuleImplementation, arrays_named
from leakysm.verify.bounds import Precision
from leakysm.verify.case import Case
from leakysm.verify.cases.numbers import noise, single
from leakysm.verify.checks import judge
from leakysm.verify.conformance import OWN_DTYPES, Settings, conform
from leakysm.verify.gradients import check_gradients
from leakysm.verify.registry import ENTRIES, Truth
from leakysm.verify.report import problems
from leakysm.verify.table import BOUNDS

ENGINES = tuple(name for name in BACKENDS if name != "cupy")


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_is_made_by_its_name(name: str) -> None:
    assert lk.backend(name).name == name


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_keeps_every_bound(engine: str, operation: str) -> None:
    implementation = EngineImplementation(lk.backend(engine))
    examples, most = (4, float("inf")) if engine == "numpy" else (3, 500)  # the reference is slow
    settings = Settings(OWN_DTYPES, strict=True, examples=examples, most_numbers=most)
    report = conform(implementation, operations=[operation], settings=settings)
    assert report.ok, "\n".join(problems(report))
    assert report.rows[0].cases > sum(truth.case.size <= most for truth in ENTRIES[operation].truths)
    assert {(w.dtype, w.part) for w in report.rows[0].worst} == {(d, p) for d in OWN_DTYPES for p in ("value", "vjp")}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_engines_gradients_are_derivatives_and_linear(operation: str) -> None:
    with np.errstate(all="ignore"):
        checks = check_gradients(EngineImplementation(lk.backend("numpy")), ENTRIES[operation])
    assert checks.problems == []
    assert min(checks.directions, checks.entries, checks.laws) > 0


@pytest.mark.cuda
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_cupy_engine_keeps_every_bound(operation: str) -> None:
    try:
        engine = lk.backend("cupy")
    except UserError as reason:
        pytest.skip(str(reason))
    implementation = EngineImplementation(engine)
    report = conform(implementation, operations=[operation], settings=Settings(OWN_DTYPES, strict=True))
    assert report.ok, "\n".join(problems(report))


def test_every_operation_has_an_entry_and_every_output_a_bound() -> None:
    assert set(ENTRIES) == set(OPERATIONS) == set(BOUNDS)
    for operation, entry in ENTRIES.items():
        assert set(entry.bounds) == {*OPERATIONS[operation].outputs, *entry.gradients}


def test_cases_have_names_flags_notes_and_a_dtype() -> None:
    from leakysm.verify.flags import FLAGS

    for entry in ENTRIES.values():
        ids = [truth.case.id for truth in entry.truths]
        assert len(set(ids)) == len(ids)
        for truth in entry.truths:
            assert truth.case.note
            assert set(truth.case.flags) <= set(FLAGS)
            assert "float64" in truth.case.dtypes


def test_a_gradient_of_an_underflowed_distance_need_not_be_zero() -> None:
    """Found by the thorough search: d underflows to 0 = t, the factor is 1, and 2 (x - c) is a smallest number."""
    parameters = {"threshold": 0.0, "slope": 0.1, "per": "coordinate"}
    arguments = (np.array([[5e-324]]), np.array([[0.0]]))
    case = Case("leaky_squared_euclidean", "random", arguments, np.array([[1.0]]), parameters, ("random",))
    truth = Truth(ENTRIES["leaky_squared_euclidean"], case)
    outcomes = list(judge(EngineImplementation(lk.backend("numpy")), truth, "float64", "vjp", strict=True))
    assert [o.problem for o in outcomes] == [None, None]


@pytest.mark.parametrize("operation", [o for o, e in ENTRIES.items() if e.choice])
def test_every_fixed_case_is_judged(operation: str) -> None:
    """None leaves open more discrete choices than can be compared with, for anybody's order of summation."""
    small = [t for t in ENTRIES[operation].truths if t.case.sample is None and t.case.size < 5000]
    assert small
    for truth in small:
        coarsest = Precision(truth.case.dtypes[0])  # whose bounds leave most open
        assert truth.open_gradients(coarsest, "any") is not None, truth.case.id


def chosen(factor: Callable[..., Any]) -> Callable[..., Any]:
    """A right leaky vjp but for the side of the threshold that each pair falls on."""

    def leaky_squared_euclidean_vjp(x, c, dy, *, threshold, slope, per="pair"):
        difference = x[:, None] - c[None]
        terms = (2 * difference * (factor(difference**2, threshold, slope) * dy)[..., None]).astype(x.dtype)
        return terms.sum(1), -terms.sum(0)

    return leaky_squared_euclidean_vjp


@pytest.mark.parametrize("seed", range(5))
def test_open_choices_may_fall_either_way_each_for_itself(seed: int) -> None:
    truth = next(t for t in ENTRIES["leaky_squared_euclidean"].truths if t.case.name == "all-in-doubt-per-pair")
    random = np.random.default_rng(seed)
    right = chosen(lambda squares, t, s: np.where(random.random(squares.shape[:2]) < 0.5, 1, s))
    wrong = chosen(lambda squares, t, s: np.where(random.random(squares.shape[:2]) < 0.5, 1.5, s))
    for vjp, passes in ((right, True), (wrong, False)):
        implementation = ModuleImplementation(
            SimpleNamespace(leaky_squared_euclidean_vjp=vjp), arrays_named("numpy"), "choices"
        )
        outcomes = list(judge(implementation, truth, "float32", "vjp", strict=False))
        assert any(outcome.failed for outcome in outcomes) is not passes
        assert sum(outcome.not_judged for outcome in outcomes) == 0


def test_what_cannot_be_judged_is_counted() -> None:
    """Equal values but for rounding in every one of very many windows."""
    x = single(noise("open", 6, 8, 8, 1) * 1e-12)
    case = Case(
        "conv_block", "open", (x, noise("openw", 3, 3, 1, 1), np.ones(1), np.full(1, 0.5)), np.ones((6, 4, 4, 1))
    )
    truth = Truth(ENTRIES["conv_block"], case)
    assert truth.open_gradients(Precision("float32"), "any") is None
    wrong = SimpleNamespace(conv_block_vjp=lambda *_: tuple(np.full(e.shape, 9, np.float32) for e in truth.vjp))
    outcomes = list(
        judge(ModuleImplementation(wrong, arrays_named("numpy"), "w"), truth, "float32", "vjp", strict=False)
    )
    assert not any(outcome.failed for outcome in outcomes)
    assert sum(outcome.not_judged for outcome in outcomes) > 0


def test_subnormal_inputs_may_be_flushed_by_others_and_it_is_told() -> None:
    def flushing(x, c):
        x, c = (np.where(np.abs(a) < np.finfo(a.dtype).tiny, 0, a).astype(a.dtype) for a in (x, c))
        return lk.cosine_distance(x, c)

    truth = next(t for t in ENTRIES["cosine_distance"].truths if t.case.name == "subnormal")
    implementation = ModuleImplementation(SimpleNamespace(cosine_distance=flushing), arrays_named("numpy"), "flushing")
    (outcome,) = judge(implementation, truth, "float32", "value", strict=False)
    assert outcome.flushed
    assert not outcome.failed
    (own,) = judge(implementation, truth, "float32", "value", strict=True)
    assert own.failed


def test_sampled_cases_keep_clear_of_every_threshold() -> None:
    sampled = [t.case for t in ENTRIES["leaky_squared_euclidean"].truths if t.case.sample is not None]
    assert sampled
    for case in sampled:
        squares = (case.arguments[0][:, None] - case.arguments[1][None]) ** 2
        argument = squares.sum(-1) if case.parameters["per"] == "pair" else squares
        assert np.abs(argument / case.parameters["threshold"] - 1).min() > 1e-6, case.id
