"""Every mutant is a mistake: its witness is beyond the bound, or shows a side effect, where the right one is not."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from .exact import excess
from .mutant import Mutant
from .mutants import KINDS, candidates, counts, mutants, quick, sample
from .purity import is_impure
from .witness import right


def _mistakes(of: str, among: Iterable[Mutant]) -> list[Mutant]:
    return [m for m in among if m.family.startswith(of + ":") or m.family == of]


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
    assert _unproven(sample(quick(_mistakes(family, candidates())))) == []


@pytest.mark.slow
@pytest.mark.parametrize("family", KINDS)
def test_every_witness_is_beyond_the_bound(family: str) -> None:
    assert _unproven(_mistakes(family, mutants())) == []


def test_there_are_mistakes_enough() -> None:
    assert len({m.name for m in candidates()}) == len(candidates()) > 5000
    assert sum(counts(m) for m in candidates() if m.small) > 100


@pytest.mark.slow
def test_enough_of_them_show() -> None:
    assert len(mutants()) > 5000
