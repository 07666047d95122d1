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
    """Of every operation and kind about five, and one of every family: some minutes in all."""
    firsts = list({m.family: m for m in sample(mutants())}.values())
    few = {}
    for key, group in _groups(mutants()).items():
        some = sample(group)
        chosen = some[:: max(len(some) // 3, 1)]
        few[key] = chosen + [m for m in group if m in firsts and m not in chosen]
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
