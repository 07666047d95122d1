"""Weighted sums of differences by matrix products, tile by tile, and how large they must be to be accurate.

W_ik = sum over j of w_ij (x_ik - c_jk). Both gradients, of x and of c, take the same coordinates in turn: where a tile
holds all points, these are moved to a common origin (float32), or split in halves (float64), once for both.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from leakysm.backends.numpy.arrays import Doubles, Floats
from leakysm.backends.numpy.distances.halves import UNIT, can_split, split
from leakysm.backends.numpy.products import add_product, multiply
from leakysm.backends.numpy.runs import Runs, cut
from leakysm.backends.numpy.scratch import Scratch

SIDE_BY_SIDE = 1024  # values of rows that are compared at a time, so that loops are long
EXACT = 51  # bits of x1 and of sum w1 together: the difference of two such products is exact
EXPONENT = 0x7FF << 52  # of a float64: all other bits are 0 in a power of two
ALIKE = 4  # grid steps within this factor are replaced by the largest: one step for all makes loops twice as fast

Weights = Callable[[Any, Any], Floats]  # (i, j), slices or index arrays -> w_ij, in float64 or as they are
Place = tuple[slice, slice]  # of a tile, points by coordinates; or of weights, points by the other side's points
Scale = TypeVar("Scale")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Side:
    """One of the two gradients to compute: of `points` (N, D). weights: of (these points, the other side's)."""

    name: str
    points: Floats
    weights: Weights
    gradient: Floats


class TileGradient(NamedTuple):
    """W of a tile, (n, w). It is accurate where |W| is at least `of_rows`, (n, 1), times `of_columns`, (w,) or (1,)."""

    total: Doubles
    of_rows: Doubles
    of_columns: Doubles
    spare: Doubles  # (n, w), of any content


class GradientTiles(ABC, Generic[Scale]):
    """A way to compute the tiles of one call. points: so many of the other side are multiplied at a time.

    Each thread keeps the points and weights that it prepared until it works on another place: the tile of dc follows
    that of dx, and often uses the same ones.
    """

    def __init__(self, scratch: Scratch, points: int) -> None:
        self._scratch, self._points = scratch, points
        self._made = threading.local()

    @abstractmethod
    def _scale(self, x: Floats, c: Floats) -> Scale | None:
        """The scale of the columns of x and c; None if they cannot be scaled."""

    @abstractmethod
    def sums(self, own: Side, other: Side, place: Place, scale: Scale) -> TileGradient | None:
        """W of a place, and where it is accurate. None for weights that cannot be scaled."""

    def scale_of(self, columns: slice, x: Floats, c: Floats) -> Scale | None:
        """The scale of a strip of columns; None if they cannot be scaled."""
        return self._once("scale", columns, lambda: self._scale(x[:, columns], c[:, columns]))

    def _runs(self, other: Side) -> Runs:
        return cut(len(other.points), self._points)

    def _once(self, name: str, place: Any, make: Callable[[], Made]) -> Made:
        """The result of `make()` for this place; the last one of this name again, if it was made for this place."""
        last: tuple[Any, Made] | None = self._made.__dict__.get(name)
        if last is None or last[0] != place:
            last = self._made.__dict__[name] = place, make()
        return last[1]


class Moved(NamedTuple):
    """The scale of float32 columns, each (w,): their origin, and the largest magnitude from there."""

    origin: Doubles
    most: Doubles


class WidenedTiles(GradientTiles[Moved]):
    """float32, in float64: points are moved so that one of them is the origin. W = x' sum_j w - sum_j w c'."""

    def _scale(self, x: Floats, c: Floats) -> Moved:
        origin = c[0].astype(np.float64)
        low, high = _extremes_of_columns(x, c)
        return Moved(origin, np.maximum(high - origin, origin - low))

    def sums(self, own: Side, other: Side, place: Place, scale: Moved) -> TileGradient:
        rows, columns = place
        x, runs = self._moved(own, place, scale.origin), self._runs(other)
        total, spare = self._scratch("tile", (2, *x.shape), np.float64)
        sum_w, sum_sizes = np.zeros((2, len(x)))  # of w and of |w|
        for run in runs:
            w = self._scratch("weights", (len(x), run.stop - run.start), np.float64)
            w[...] = own.weights(rows, run)
            c = self._moved(other, (run, columns), scale.origin)
            if run.start:
                add_product(w, c, total, spare)
            else:
                multiply(w, c, out=total)
            ones = np.ones(w.shape[1])
            sum_w += w @ ones
            sum_sizes += np.abs(w, out=w) @ ones
        np.multiply(x, sum_w[:, None], out=spare)
        np.subtract(spare, total, out=total)
        # Each of the two parts adds up products |w| |c'|, at most sum |w| times `most`. Its error is at most
        # points + runs + 8 units of float64 of that. Both errors together must not exceed two units of float32 of
        # the result.
        share = 2 * (self._points + len(runs) + 8) * UNIT / (2 * 2.0**-23)
        return TileGradient(total, share * sum_sizes[:, None], scale.most, spare)

    def _moved(self, side: Side, place: Place, origin: Doubles) -> Doubles:
        """The points of a place, less the origin, (n, w)."""
        points = side.points[place]

        def move() -> Doubles:
            moved = self._scratch(side.name, points.shape, np.float64)
            np.subtract(points, origin, out=moved, dtype=np.float64)
            return moved

        return self._once(side.name, place, move)


class SplitWeights(NamedTuple):
    """Weights in halves on a grid of step p: w1 and w2 (n, m); and of each row, (n, 1), sum w1, sum w2 and size.

    size: sum |w| + m 2^bits p. `bits` belong to the points' grid, whose step is q: the rest of W is at most size q.
    """

    first: Doubles
    second: Doubles
    sum_first: Doubles
    sum_second: Doubles
    size: Doubles


class SplitTiles(GradientTiles[Doubles]):
    """float64: columns of points on a grid of step q_k, and a row of weights on one of step p_i. The scale is q.

    With x = x1 + x2, c = c1 + c2 and w = w1 + w2, summed over j,

        W = exact - rest        exact = x1 sum w1 - sum w1 c1
                                rest = sum w1 c2 + sum w2 c - x sum w2 - x2 sum w1

    `exact` has no rounding error, and `rest` is smaller by 2^bits. The step p is chosen for sum_j |w_ij|, so that no
    product of x1 or c1 and a sum of w1 needs more than EXACT bits.
    """

    def __init__(self, scratch: Scratch, points: int) -> None:
        super().__init__(scratch, points)
        # The bits of x1; sum w1 has the rest of EXACT. That sum has `points` weights, so w2 is about as small beside w
        # as x2 beside x.
        self._bits = (EXACT - points.bit_length()) // 2

    def _scale(self, x: Floats, c: Floats) -> Doubles | None:
        low, high = _extremes_of_columns(x, c)
        return _grid(np.maximum(high, -low), self._bits)

    def sums(self, own: Side, other: Side, place: Place, scale: Doubles) -> TileGradient | None:
        (rows, columns), q, runs = place, scale, self._runs(other)
        x, (x1, x2) = own.points[place], self._halves_of_points(own, place, q)
        total, rest, part, spare = self._scratch("tile", (4, *x.shape), np.float64)
        sum_w1, sum_w2, size = np.zeros((3, len(x), 1))
        for run in runs:
            w = self._halves_of_weights(own, (rows, run))
            if w is None:
                return None
            c, (c1, c2) = other.points[run, columns], self._halves_of_points(other, (run, columns), q)
            exact = part if run.start else total
            np.multiply(x1, w.sum_first, out=exact)
            multiply(w.first, c1, out=spare)
            exact -= spare
            if run.start:
                _add_exactly(total, exact, rest, spare)
                add_product(w.first, c2, rest, spare)
            else:
                multiply(w.first, c2, out=rest)
            add_product(w.second, c, rest, spare)
            sum_w1 += w.sum_first
            sum_w2 += w.sum_second
            size += w.size
        rest -= np.multiply(x, sum_w2, out=part)
        rest -= np.multiply(x2, sum_w1, out=part)
        total -= rest
        return TileGradient(total, self._least(len(other.points), len(runs)) * size, q, spare)

    def _least(self, M: int, runs: int) -> float:
        """How many times `size` q a sum of M terms must be, so that it is certain to be accurate.

        The rest is at most `size` q. Its error, in units of the last place, is at most the numerator below. The bound
        allows a sum of M terms 8 + 2 log2 M units; four of them are left for other roundings.
        """
        return (min(M, self._points) + 3 * runs + 6) / (4 + 2 * (M - 1).bit_length())

    def _halves_of_points(self, side: Side, place: Place, q: Doubles) -> Doubles:
        """x1 and x2, (2, n, w)."""
        points = side.points[place]

        def halve() -> Doubles:
            halves = self._scratch(side.name, (2, *points.shape), np.float64)
            split(points, q, *halves)
            return halves

        return self._once(side.name, place, halve)

    def _halves_of_weights(self, side: Side, place: Place) -> SplitWeights | None:
        """The weights of a row of points by a run of the other side, in halves. None if they cannot be scaled."""
        name = "weights of " + side.name

        def halve() -> SplitWeights | None:
            w = np.ascontiguousarray(side.weights(*place))
            w1, w2 = self._scratch(name, (2, *w.shape), np.float64)
            ones = np.ones((w.shape[1], 1))
            size = np.abs(w, out=w2) @ ones
            p = _grid(size, EXACT - self._bits)
            if p is None:
                return None
            split(w, p, w1, w2)
            return SplitWeights(w1, w2, w1 @ ones, w2 @ ones, size + len(ones) * 2.0**self._bits * p)

        return self._once(name, place, halve)


def _add_exactly(total: Doubles, part: Doubles, rest: Doubles, spare: Doubles) -> None:
    """total += part, and what rounding takes away is taken from `rest`. Knuth's two-sum; part and spare are used up."""
    rounded = total + part
    np.subtract(rounded, total, out=spare)  # what has been added of `part`
    part -= spare
    spare -= rounded
    total += spare  # what is missing of `total`
    rest -= total
    rest -= part
    total[...] = rounded


def _extremes_of_columns(*sides: Floats) -> tuple[Doubles, Doubles]:
    """Least and largest of every column of all these, each (w,); NaN if there is one.

    Where rows are contiguous, several of them are compared as one long row first, so that loops are long.
    """
    folded = [a.reshape(-1, _fold(*a.shape) * a.shape[1]) if a.flags.c_contiguous else a for a in sides]
    w = sides[0].shape[1]
    low, high = (
        find(*(find.reduce(find.reduce(a).reshape(-1, w)) for a in folded)) for find in (np.minimum, np.maximum)
    )
    return low, high


@lru_cache(maxsize=64)
def _fold(n: int, w: int) -> int:
    """How many rows of w values are compared as one long row: a divisor of n."""
    return next((d for d in range(SIDE_BY_SIDE // w, 1, -1) if n % d == 0), 1)


def _grid(magnitudes: Doubles, bits: int) -> Doubles | None:
    """Grid steps for these magnitudes, or one for all, 0 for 0; None if a magnitude is not in the safe range."""
    if not can_split(magnitudes):
        return None
    steps = (magnitudes.view(np.int64) & EXPONENT).view(np.float64) * 2.0 ** (1 - bits)
    most = steps.max()
    return np.full(1, most) if most <= ALIKE * steps.min() else steps
