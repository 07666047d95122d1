"""The suite refuses every planted mistake. A sample in the ordinary run; all of them with -m slow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from leakysm.ops import registry

from . import tiles
from .conforming import QUICK, passed, status
from .mutant import Mutant
from .mutants import KINDS, candidates, mutants, quick, sample
from .witness import OPERATIONS, witness


def _of(operation: str, kind: str, among: Iterable[Mutant]) -> list[Mutant]:
    """Those of an operation and a kind, the first word of the family."""
    return [m for m in among if m.operation == operation and m.family.split(":")[0] == kind]


def _some(group: list[Mutant]) -> list[Mutant]:
    """One, if there is any."""
    return sample(quick(group))[:1]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_mistakes_is_refused(operation: str, kind: str) -> None:
    assert passed(_some(_of(operation, kind, candidates())), QUICK) == []


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_mistake_is_refused(operation: str, kind: str) -> None:
    assert passed(_of(operation, kind, mutants())) == []


def test_the_loss_in_tiles_passes_without_a_mistake() -> None:
    functions = tiles.planted_in(tiles.Tiling(), 50, 20, "vjp")
    functions.distance_cross_entropy = tiles.planted_in(tiles.Tiling(), 50, 20, "value").distance_cross_entropy
    right = Mutant("none", tiles.OPERATION, functions, witness(tiles.OPERATION, "vjp"), "none")
    assert status(right, replace(QUICK, most_numbers=1000)) == "passed"


def test_every_mutant_is_of_a_known_kind() -> None:
    assert {m.family.split(":")[0] for m in candidates()} == set(KINDS)


def test_every_operation_has_mutants() -> None:
    assert {m.operation for m in candidates()} == set(registry.OPERATIONS)
