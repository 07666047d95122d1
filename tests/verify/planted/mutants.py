"""All planted mistakes of NumPy functions: every combination of kind, place and size that shows."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from functools import cache
from itertools import islice

from . import corners, formulas, precision, purity, restrictions, sizes, tiles
from .exact import excess
from .mutant import Mutant, shown

KINDS = ("size", "bits", "small", "corner", "cotangent", "structure", "conditioning", "side", "purity")
FILES = (sizes, precision, corners, restrictions, formulas, tiles, purity)


@cache
def candidates() -> tuple[Mutant, ...]:
    """Every combination, those included whose mistake shows nowhere."""
    return tuple(m for file in FILES for m in file.mutants())


@cache
def mutants() -> tuple[Mutant, ...]:
    """Those whose mistake shows: to find them all takes half a minute."""
    return tuple(m for candidate in candidates() if (m := shown(candidate)))


def counts(mutant: Mutant) -> bool:
    """Whether it is a mistake at all: of the small ones only those whose witness exceeds the bound."""
    return not mutant.small or excess(mutant.witness, mutant.witness.outputs(mutant.functions)) > 1


def sample(of: Iterable[Mutant], each: int = 1) -> list[Mutant]:
    """Some that show of every family, operation and part: the same ones every time, dealt by their names."""
    strata: dict[tuple[str, str, str], list[Mutant]] = {}
    for mutant in of:
        strata.setdefault((mutant.family, mutant.operation, mutant.witness.part), []).append(mutant)
    dealt = (sorted(one, key=lambda m: zlib.crc32(m.name.encode())) for one in strata.values())
    return [m for one in dealt for m in islice(filter(None, map(shown, one)), each)]


def quick(of: Iterable[Mutant]) -> list[Mutant]:
    """Those that show at axes of no more than 131; the longer ones need exact arithmetic on thousands of numbers."""
    return [m for m in of if not m.family.endswith(("up to 513", "up to 4096"))]
