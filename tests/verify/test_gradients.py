"""The gradient checks find what is wrong, and cross no kink unseen."""

import numpy as np
import pytest

import leakysm as lk
from leakysm.verify import entries  # noqa: F401
from leakysm.verify.adapters import EngineImplementation, ModuleImplementation, arrays_named
from leakysm.verify.gradients import Checks, check_gradients
from leakysm.verify.registry import ENTRIES
from tests.verify.mutants import MUTANTS

SEEN_BY_DERIVATIVES = [
    "prototype_gradient_with_the_wrong_sign",
    "gradient_without_the_slope",
    "softmax_gradient_of_the_diagonal_alone",
    "support_gradient_not_divided_by_shots",
    "statistics_taken_for_constants",
    "relu_forgotten_backwards",
    "cotangent_ignored",
]


def checked(operation: str, functions: object) -> Checks:
    with np.errstate(all="ignore"):
        return check_gradients(ModuleImplementation(functions, arrays_named("numpy"), "m"), ENTRIES[operation])


@pytest.mark.parametrize("name", SEEN_BY_DERIVATIVES)
def test_a_wrong_gradient_is_found_without_the_oracles_gradient(name: str) -> None:
    found = checked(*MUTANTS[name])
    assert found.problems
    assert found.result == "failed"


class Relu:
    """ReLU with a vjp that breaks one law."""

    def __init__(self, vjp: object):
        self.relu, self.relu_vjp = lk.relu, vjp


@pytest.mark.parametrize(
    ("vjp", "law"),
    [
        (lambda x, dy: lk.relu_vjp(x, dy) + 1e-300, "zero for a zero cotangent"),
        (lambda x, dy: lk.relu_vjp(x, np.abs(dy)), "negated"),
        (lambda x, dy: lk.relu_vjp(x, dy**3), "additive"),
    ],
)
def test_a_broken_law_is_named(vjp: object, law: str) -> None:
    assert any(law in problem for problem in checked("relu", Relu(vjp)).problems)


def test_directions_that_cross_a_kink_are_left_out_and_counted() -> None:
    """ReLU at exact zeros: no step is small enough, and the derivative there is one-sided."""
    from dataclasses import replace

    from leakysm.verify.case import Case

    case = Case("relu", "zeros", (np.zeros((2, 2)),), np.ones((2, 2)), {}, ("plain",), "all at the kink")
    found = check_gradients(EngineImplementation(lk.backend("numpy")), replace(ENTRIES["relu"], cases=lambda: [case]))
    assert found.problems == []
    assert found.crossed > 0
    assert found.directions == found.entries == 0


def test_what_raises_is_a_problem_and_no_traceback() -> None:
    def vjp(x: object, dy: object) -> None:
        raise RuntimeError("no gradient today")

    assert checked("relu", Relu(vjp)).problems == ["raised RuntimeError: no gradient today"]
