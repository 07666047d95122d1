"""Every mutant is a mistake: its witness is beyond the bound, or shows a side effect, where the right one is not."""

from __future__ import annotations

import pytest

from .exact import excess
from .mutant import Mutant
from .mutants import KINDS, counts, mutants, quick, sample
from .purity import is_impure
from .witness import right


def _mistakes(of: str) -> list[Mutant]:
    return [m for m in mutants() if m.family.startswith(of + ":") or m.family == of]


def _unproven(chosen: list[Mutant]) -> list[str]:
    """Those whose witness doesn't show the mistake, or accuses the right functions."""
    found = []
    for m in chosen:
        correct = right(m.operation)
        if m.impure:
            proven = is_impure(m.functions, m.witness) and not is_impure(correct, m.witness)
        else:
            proven = excess(m.witness, m.witness.outputs(correct)) <= 1 and (m.small or counts_as_wrong(m))
        if not proven:
            found.append(m.name)
    return found


def counts_as_wrong(m: Mutant) -> bool:
    return excess(m.witness, m.witness.outputs(m.functions)) > 1


@pytest.mark.parametrize("family", KINDS)
def test_a_sample_of_witnesses_is_beyond_the_bound(family: str) -> None:
    assert _unproven(sample(quick(_mistakes(family)))) == []


@pytest.mark.slow
@pytest.mark.parametrize("family", KINDS)
def test_every_witness_is_beyond_the_bound(family: str) -> None:
    assert _unproven(_mistakes(family)) == []


def test_there_are_mistakes_enough() -> None:
    assert len({m.name for m in mutants()}) == len(mutants()) > 500
    assert sum(counts(m) for m in mutants() if m.small) > 100
