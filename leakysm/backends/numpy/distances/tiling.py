"""How the distances and their gradients are cut into tiles."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SharedTiling:
    """Tiles that threads share. alone: up to this many differences, one thread is faster. threads: the most threads."""

    alone: int = 4_000_000
    threads: int = 5

    def threads_for(self, differences: int) -> int:
        """How many threads work on N M D differences, at most."""
        return self.threads if differences > self.alone else 1


@dataclass(frozen=True)
class SumTiling(SharedTiling):
    """The tiles of squared distances; a thread needs 8 MB.

    coordinates: the most numbers of a tile's points on one side. shortest, longest: the fewest and the most points
    (rows of x or c) on one side of a tile. depth: how many coordinates are multiplied at a time in float32;
    split_depth: the same in float64, whose passes over the points should be long. gathered: how many values of pairs
    are summed from differences at a time.
    """

    coordinates: int = 155_000
    shortest: int = 64
    longest: int = 320
    depth: int = 512
    split_depth: int = 1024
    gathered: int = 1 << 17


@dataclass(frozen=True)
class GradientTiling(SharedTiling):
    """The tiles of weighted sums of differences; a thread needs 12 MB, with the buffers of the distances.

    points: the points (rows of x or c) of a tile, and how many of the other side are multiplied at a time.
    coordinates: the most numbers of a tile's points on both sides; few tiles are best, as threads wait for one another
    in every call. sample: how many points of the other side bound an element from below. gathered: how many terms of
    uncertain elements are summed at a time.
    """

    points: int = 320
    coordinates: int = 1 << 17
    sample: int = 32
    gathered: int = 1 << 17


@dataclass(frozen=True)
class CoordinateTiling:
    """The tiles of sums over restricted coordinates.

    The most that a tile has: `differences`; `depth`, its coordinates; `across`, its points of the other side.
    """

    differences: int = 1 << 16
    depth: int = 512
    across: int = 32


@dataclass(frozen=True)
class Tiling:
    """How everything in this folder is cut that can be cut in more than one way."""

    sums: SumTiling = field(default_factory=SumTiling)
    gradients: GradientTiling = field(default_factory=GradientTiling)
    coordinates: CoordinateTiling = field(default_factory=CoordinateTiling)
