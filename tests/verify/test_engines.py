"""Our own engines through the same door as everybody's: strictly, in every dtype, value and gradient."""

from types import SimpleNamespace

import numpy as np
import pytest

import leakysm as lk
from leakysm.errors import UserError
from leakysm.ops.registry import OPERATIONS
from leakysm.verify.adapters import EngineImplementation, ModuleImplementation, arrays_named
from leakysm.verify.bounds import Precision
from leakysm.verify.cases.numbers import noise, single
from leakysm.verify.checks import judge
from leakysm.verify.conformance import OWN_DTYPES, Settings, conform
from leakysm.verify.gradients import check_gradients
from leakysm.verify.registry import ENTRIES, Case, Truth
from leakysm.verify.report import problems
from leakysm.verify.table import BOUNDS

ENGINES = ("reference", "numpy")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_keeps_every_bound(engine: str, operation: str) -> None:
    implementation = EngineImplementation(lk.backend(engine))
    settings = Settings(OWN_DTYPES, strict=True, examples=25 if engine == "numpy" else 5)
    report = conform(implementation, operations=[operation], settings=settings)
    assert report.ok, "\n".join(problems(report))
    assert report.rows[0].cases > len(ENTRIES[operation].truths)
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


def test_no_case_leaves_more_choices_open_than_are_tried() -> None:
    """Where more are open than are enumerated, only the exact ones are accepted, which would be unjust."""
    from leakysm.verify.bounds import Precision

    for name in ("leaky_squared_euclidean", "conv_block", "conv_block_inference", "prototypical_loss"):
        found = [len(t.alternatives(Precision("float32"))) for t in ENTRIES[name].truths]
        assert max(found) <= 63
    leaky = ENTRIES["leaky_squared_euclidean"].truths
    kinks = {truth.case.name: len(truth.alternatives(Precision("float32"))) for truth in leaky}
    assert kinks["kink"] == kinks["threshold-in-doubt"] == 1
    assert kinks["plain"] == 0


def test_a_gradient_of_an_underflowed_distance_need_not_be_zero() -> None:
    """Found by the thorough search: d underflows to 0 = t, the factor is 1, and 2 (x - c) is a smallest number."""
    from leakysm.verify.checks import judge
    from leakysm.verify.registry import Case, Truth

    parameters = {"threshold": 0.0, "slope": 0.1, "per": "coordinate"}
    arguments = (np.array([[5e-324]]), np.array([[0.0]]))
    case = Case("leaky_squared_euclidean", "random", arguments, np.array([[1.0]]), parameters, ("random",))
    truth = Truth(ENTRIES["leaky_squared_euclidean"], case)
    outcomes = list(judge(EngineImplementation(lk.backend("numpy")), truth, "float64", "vjp", strict=True))
    assert [o.problem for o in outcomes] == [None, None]


def test_every_fixed_case_is_judged() -> None:
    """None leaves open more discrete choices than can be compared with."""
    for entry in ENTRIES.values():
        for truth in entry.truths:
            assert all(truth.alternatives(Precision(dtype)) is not None for dtype in truth.case.dtypes), truth.case.id


def test_a_case_that_leaves_open_too_many_choices_is_not_held_against_anybody() -> None:
    """Equal values but for rounding in every window: whichever is taken for the largest is right."""
    x = single(noise("open", 1, 4, 4, 1) * 1e-12)
    case = Case(
        "conv_block", "open", (x, noise("openw", 3, 3, 1, 1), np.ones(1), np.full(1, 0.5)), np.ones((1, 2, 2, 1))
    )
    truth = Truth(ENTRIES["conv_block"], case)
    assert truth.alternatives(Precision("float32")) is None
    wrong = SimpleNamespace(conv_block_vjp=lambda *_: tuple(np.full(e.shape, 9, np.float32) for e in truth.vjp))
    outcomes = judge(ModuleImplementation(wrong, arrays_named("numpy"), "wrong"), truth, "float32", "vjp", strict=False)
    assert not any(outcome.failed for outcome in outcomes)
