"""The suite refuses every planted mistake. A sample in the ordinary run; all of them with -m slow."""

from __future__ import annotations

import pytest

from leakysm.ops.registry import OPERATIONS

from .conforming import passed
from .framework_mutants import framework_mutants
from .mutant import Mutant
from .mutants import KINDS, mutants, sample


def _of(operation: str, kind: str) -> list[Mutant]:
    """The mutants of an operation and a kind, the first word of the family."""
    return [m for m in mutants() if m.operation == operation and m.family.split(":")[0] == kind]


def _some(group: list[Mutant]) -> list[Mutant]:
    """Some five to ten, of all families and parts in turn."""
    dealt = sample(group)
    return dealt[:: max(len(dealt) // 5, 1)]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_mistakes_is_refused(operation: str, kind: str) -> None:
    assert passed(_some(_of(operation, kind))) == []


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_mistake_is_refused(operation: str, kind: str) -> None:
    assert passed(_of(operation, kind)) == []


@pytest.mark.slow
@pytest.mark.parametrize("array", ["torch", "jax"])
@pytest.mark.filterwarnings("ignore")
def test_every_framework_mistake_is_refused(array: str) -> None:
    assert passed(m for m in framework_mutants() if m.array == array) == []


@pytest.mark.filterwarnings("ignore")
def test_a_sample_of_mistakes_in_torch_is_refused() -> None:
    chosen = sample(m for m in framework_mutants() if m.array == "torch")
    assert passed(chosen[:: max(len(chosen) // 25, 1)]) == []


def test_every_mutant_is_of_a_known_kind() -> None:
    assert {m.family.split(":")[0] for m in mutants()} == set(KINDS)
