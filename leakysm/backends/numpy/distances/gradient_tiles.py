"""Weighted sums of differences by matrix products, tile by tile, and from what size on they are certain.

Both gradients, of x and of c, take the same coordinates in turn: where a tile holds all points, these are moved to a
common origin (float32), or split in halves (float64), once for both.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from leakysm.backends.numpy.block.windows import cut
from leakysm.backends.numpy.distances.halves import UNIT, can_split, split
from leakysm.backends.numpy.products import multiply
from leakysm.backends.numpy.scratch import Scratch

SIDE_BY_SIDE = 1024  # values of rows that are compared at a time, so that loops are long
EXACT = 51  # bits of a product of sums that is twice this, and exact
EXPONENT = 0x7FF << 52  # of a float64: all other bits are 0 in a power of two
ALIKE = 4  # steps that differ by no more are replaced by the largest: loops over all rows at once are twice as fast

Weights = Callable[[Any, Any], np.ndarray]  # (i, j), slices or index arrays -> w_ij, in float64 or as they are
Scale = tuple[np.ndarray, ...]  # of columns


@dataclass(frozen=True)
class Side:
    """A gradient that is sought: of these points, with the weights of (these, the others)."""

    name: str
    points: np.ndarray
    weights: Weights
    gradient: np.ndarray


class Sums(NamedTuple):
    """W of a tile, (n, w), certain where it is no less than `of_rows`, (n, 1), times `of_columns`, (w,) or (1,)."""

    total: np.ndarray
    of_rows: np.ndarray
    of_columns: np.ndarray
    spare: np.ndarray  # (n, w), of any content


class _Tiles(ABC):
    """What the tiles of one call share; `points` of the other side are multiplied at a time."""

    def __init__(self, scratch: Scratch, points: int) -> None:
        self._scratch, self._points = scratch, points
        self._kept = threading.local()

    @abstractmethod
    def scale(self, x: np.ndarray, c: np.ndarray) -> Scale | None:
        """The scale of columns; None if they have none."""

    @abstractmethod
    def sums(self, own: Side, other: Side, place: tuple[slice, slice], scale: Scale) -> Sums | None:
        """W of a place, and what size is certain. None for weights that cannot be scaled."""

    def scale_of(self, columns: slice, x: np.ndarray, c: np.ndarray) -> Scale | None:
        """The scale of a strip; None if it has none."""
        found: Scale | None = self._once("scale", columns, lambda: self.scale(x[:, columns], c[:, columns]))
        return found

    def _runs(self, other: Side) -> list[slice]:
        return [slice(*run) for run in cut(len(other.points), self._points)]

    def _once(self, name: str, place: Any, prepare: Callable[[], Any]) -> Any:
        """What `prepare()` makes for this place, in buffers of this name, unless it is what they hold already."""
        known = self._kept.__dict__.get(name)
        if known is None or known[0] != place:
            known = self._kept.__dict__[name] = place, prepare()
        return known[1]


class Widened(_Tiles):
    """float32, in float64: points are moved so that one of them is the origin."""

    def scale(self, x: np.ndarray, c: np.ndarray) -> Scale:
        """The origin, and the largest magnitude from there, of every column."""
        origin = c[0].astype(np.float64)
        low, high = _extremes_of_columns(x, c)
        most = np.maximum(high - origin, origin - low)
        return origin, most

    def sums(self, own: Side, other: Side, place: tuple[slice, slice], scale: Scale) -> Sums:
        """W of a place, and what size is certain."""
        (origin, most), (rows, columns) = scale, place

        def moved(side: Side, place: tuple[slice, slice]) -> np.ndarray:
            def move() -> np.ndarray:
                there = self._scratch(side.name, points.shape, np.float64)
                np.subtract(points, origin, out=there, dtype=np.float64)
                return there

            points = side.points[place]
            found: np.ndarray = self._once(side.name, place, move)
            return found

        x = moved(own, place)
        total, spare = self._scratch("tile", (2, *x.shape), np.float64)
        n, runs = len(x), self._runs(other)
        weight_sum, weight_size = np.zeros((2, n))
        for run in runs:
            g = self._scratch("weights", (n, run.stop - run.start), np.float64)
            g[...] = own.weights(rows, run)
            multiply(g, moved(other, (run, columns)), out=spare if run.start else total)
            if run.start:
                total += spare
            ones = np.ones(g.shape[1])
            weight_sum += g @ ones
            weight_size += np.abs(g, out=g) @ ones
        np.subtract(np.multiply(x, weight_sum[:, None], out=spare), total, out=total)
        # Sums of products of two magnitudes of up to `most`, added up: their error, as a share of two units of float32.
        share = 2 * (self._points + len(runs) + 8) * UNIT / (2 * 2.0**-23)
        return Sums(total, share * weight_size[:, None], most, spare)


class Halves(_Tiles):
    """float64: columns of points on a grid of step q_k, and a row of weights on one of step p_i.

    With x = x1 + x2, c = c1 + c2 and w = w1 + w2, x1 sum_j w1 - sum_j w1 c1 is exact, and the rest,
    sum_j (w1 c2 + w2 c) - x sum_j w2 - x2 sum_j w1, is smaller by 2^bits: the step p is made for sum_j |w_ij|, so that
    no more than EXACT bits are needed.
    """

    def __init__(self, scratch: Scratch, points: int) -> None:
        super().__init__(scratch, points)
        self._bits = (EXACT - points.bit_length()) // 2  # of points: what these and the weights leave is about the same

    def scale(self, x: np.ndarray, c: np.ndarray) -> Scale | None:
        """q of every column; None if it cannot be scaled."""
        low, high = _extremes_of_columns(x, c)
        q = _grid(np.maximum(high, -low), self._bits)
        return None if q is None else (q,)

    def sums(self, own: Side, other: Side, place: tuple[slice, slice], scale: Scale) -> Sums | None:
        """W of a place, and what size is certain. None for weights that cannot be scaled."""
        (q,), (rows, columns) = scale, place
        x, (x1, x2) = own.points[place], self._points_of(own, place, q)
        total, rest, part, spare = self._scratch("tile", (4, *x.shape), np.float64)
        first, second, least = np.zeros((3, len(x), 1))
        runs = self._runs(other)
        for run in runs:
            weights = self._weights_of(own, (rows, run))
            if weights is None:
                return None
            w1, w2, w1_sum, w2_sum, small = weights
            c1, c2 = self._points_of(other, (run, columns), q)
            exact = np.multiply(x1, w1_sum, out=part if run.start else total)
            multiply(w1, c1, out=spare)
            exact -= spare
            if run.start:
                _add_exactly(total, exact, rest, spare)
                multiply(w1, c2, out=spare)
                rest += spare
            else:
                multiply(w1, c2, out=rest)
            multiply(w2, other.points[run, columns], out=spare)
            rest += spare
            first += w1_sum
            second += w2_sum
            least += small
        rest -= np.multiply(x, second, out=part)
        rest -= np.multiply(x2, first, out=part)
        total -= rest
        # The rest is at most `least` q, and known but for so many roundings of this. A sum of M terms may be in error
        # by 8 + 2 log2 M units, of which four are left to other roundings.
        M = len(other.points)
        least *= (min(M, self._points) + 3 * len(runs) + 6) / (4 + 2 * (M - 1).bit_length())
        return Sums(total, least, q, spare)

    def _points_of(self, side: Side, place: tuple[slice, slice], q: np.ndarray) -> np.ndarray:
        """x1 and x2, (2, n, w)."""

        def halve() -> np.ndarray:
            halves = self._scratch(side.name, (2, *points.shape), np.float64)
            split(points, q, *halves)
            return halves

        points = side.points[place]
        found: np.ndarray = self._once(side.name, place, halve)
        return found

    def _weights_of(self, side: Side, place: tuple[slice, slice]) -> tuple[np.ndarray, ...] | None:
        """w1 and w2, (n, m), their sums and sum |w| + m 2^bits p, (n, 1). None if they cannot be scaled."""

        def halve() -> tuple[np.ndarray, ...] | None:
            g = np.ascontiguousarray(side.weights(*place))
            w1, w2 = self._scratch("weights of " + side.name, (2, *g.shape), np.float64)
            ones = np.ones((g.shape[1], 1))
            size = np.abs(g, out=w2) @ ones
            p = _grid(size, EXACT - self._bits)
            if p is None:
                return None
            split(g, p, w1, w2)
            return w1, w2, w1 @ ones, w2 @ ones, size + len(ones) * 2.0**self._bits * p

        found: tuple[np.ndarray, ...] | None = self._once("weights of " + side.name, place, halve)
        return found


def _add_exactly(total: np.ndarray, part: np.ndarray, rest: np.ndarray, spare: np.ndarray) -> None:
    """total += part, and what rounding takes away is taken from `rest`. Knuth's two-sum."""
    rounded = total + part
    np.subtract(rounded, total, out=spare)
    part -= spare
    spare -= rounded
    total += spare
    rest -= total
    rest -= part
    total[...] = rounded


def _extremes_of_columns(*sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest of every column of all these, each (w,); NaN if there is one."""
    folded = [a.reshape(-1, _fold(*a.shape) * a.shape[1]) if a.flags.c_contiguous else a for a in sides]
    w = sides[0].shape[1]
    low, high = (
        find(*(find.reduce(find.reduce(a).reshape(-1, w)) for a in folded)) for find in (np.minimum, np.maximum)
    )
    return low, high


@lru_cache(maxsize=64)
def _fold(n: int, w: int) -> int:
    """How many rows to take for one, a divisor of n."""
    return next((d for d in range(SIDE_BY_SIDE // w, 1, -1) if n % d == 0), 1)


def _grid(magnitudes: np.ndarray, bits: int) -> np.ndarray | None:
    """Grid steps for these magnitudes, or one for all, 0 for 0; None if a magnitude is not in the safe range."""
    if not can_split(magnitudes):
        return None
    steps: np.ndarray = (magnitudes.view(np.int64) & EXPONENT).view(np.float64) * 2.0 ** (1 - bits)
    most = steps.max()
    return np.full(1, most) if most <= ALIKE * steps.min() else steps
