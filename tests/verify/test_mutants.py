"""The suite bites: every planted mutant is caught by its operation's cases, and the right operations pass."""

from types import SimpleNamespace

import pytest

from leakysm.ops.registry import OPERATIONS
from leakysm.verify.adapters import ModuleImplementation, arrays_named
from leakysm.verify.conformance import OTHERS_DTYPES, Settings, conform
from tests.verify.mutants import MUTANTS, OWN_PROMISES


def checked(name: str, *, strict: bool, **settings: object):
    operation, functions = MUTANTS[name]
    implementation = ModuleImplementation(functions, arrays_named("numpy"), f"mutants:{name}")
    report = conform(
        implementation,
        operations=[operation],
        settings=Settings(OTHERS_DTYPES, strict=strict, shrink_seconds=0.1, first_failure=True, **settings),
    )
    (row,) = report.rows
    return row


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_with_a_counterexample_to_paste(name: str) -> None:
    row = checked(name, strict=name in OWN_PROMISES, examples=10, purity=False)  # most are caught so, in less time
    if row.status == "passed":
        row = checked(name, strict=name in OWN_PROMISES, examples=10)
    assert row.status == "failed"
    assert row.failures
    assert row.counterexample is not None
    compile(row.counterexample, name, "exec")


@pytest.mark.parametrize("name", sorted(OWN_PROMISES))
def test_what_only_we_promise_is_not_held_against_others(name: str) -> None:
    assert checked(name, strict=False, examples=0).status == "passed"


def test_there_are_mutants_of_every_operation() -> None:
    assert {operation for operation, _ in MUTANTS.values()} == set(OPERATIONS)


def test_float16_computed_in_float16_is_caught() -> None:
    """Many roundings for one: an error that float16's bound, one rounding of a float32 result, does not allow."""

    def squared_euclidean(x, c):
        return ((x[:, None, :] - c[None]) ** 2).sum(-1)

    offered = SimpleNamespace(squared_euclidean=squared_euclidean)
    report = conform(
        ModuleImplementation(offered, arrays_named("numpy"), "half"),
        operations=["squared_euclidean"],
        settings=Settings(("float16",), strict=True),
    )
    assert report.rows[0].status == "failed"
