"""All planted mistakes of NumPy functions: every combination of kind, place and size that shows."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from functools import cache

from . import corners, formulas, precision, purity, sizes
from .exact import excess
from .mutant import Mutant

KINDS = ("size", "bits", "small", "corner", "cotangent", "structure", "conditioning", "side", "purity")


@cache
def mutants() -> tuple[Mutant, ...]:
    return tuple(m for kind in (sizes, precision, corners, formulas, purity) for m in kind.mutants())


def counts(mutant: Mutant) -> bool:
    """Whether it is a mistake at all: of the small ones only those whose witness exceeds the bound."""
    return not mutant.small or excess(mutant.witness, mutant.witness.outputs(mutant.functions)) > 1


def sample(of: Iterable[Mutant], each: int = 1) -> list[Mutant]:
    """Some of every family, operation and part: the same ones every time, dealt by their names."""
    strata: dict[tuple[str, str, str], list[Mutant]] = {}
    for mutant in of:
        strata.setdefault((mutant.family, mutant.operation, mutant.witness.part), []).append(mutant)
    return [m for one in strata.values() for m in sorted(one, key=lambda m: zlib.crc32(m.name.encode()))[:each]]


def quick(of: Iterable[Mutant]) -> list[Mutant]:
    """Those that show at axes of no more than 131; the longer ones need exact arithmetic on thousands of numbers."""
    return [m for m in of if not m.family.endswith(("up to 513", "up to 4096"))]
