"""The suite refuses every planted mistake. A sample in the ordinary run; all of them with -m slow."""

from __future__ import annotations

import pytest

from .conforming import passed
from .framework_mutants import framework_mutants
from .mutant import Mutant
from .mutants import mutants, sample


def _groups(of: tuple[Mutant, ...]) -> dict[tuple[str, str], list[Mutant]]:
    """By operation and kind: the first word of the family."""
    groups: dict[tuple[str, str], list[Mutant]] = {}
    for mutant in of:
        groups.setdefault((mutant.operation, mutant.family.split(":")[0]), []).append(mutant)
    return groups


def _sampled() -> dict[tuple[str, str], list[Mutant]]:
    """Of every operation and kind about ten, of all its families in turn: about 3 minutes in all."""
    few = {}
    for key, group in _groups(mutants()).items():
        some = sample(group)
        few[key] = some[:: max(len(some) // 5, 1)]
    return few


GROUPS, SAMPLES = _groups(mutants()), _sampled()


@pytest.mark.parametrize(("operation", "kind"), list(SAMPLES))
def test_a_sample_of_mistakes_is_refused(operation: str, kind: str) -> None:
    assert passed(SAMPLES[operation, kind]) == []


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "kind"), list(GROUPS))
def test_every_mistake_is_refused(operation: str, kind: str) -> None:
    assert passed(GROUPS[operation, kind]) == []


@pytest.mark.slow
@pytest.mark.parametrize("array", ["torch", "jax"])
@pytest.mark.filterwarnings("ignore")
def test_every_framework_mistake_is_refused(array: str) -> None:
    assert passed(m for m in framework_mutants() if m.array == array) == []
