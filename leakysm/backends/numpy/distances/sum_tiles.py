"""Squared distances of a tile by matrix products, and how large they must be to be accurate."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np

from leakysm.backends.numpy.arrays import Doubles, Floats
from leakysm.backends.numpy.distances.halves import UNIT, split
from leakysm.backends.numpy.products import add_product, multiply
from leakysm.backends.numpy.runs import cut
from leakysm.backends.numpy.scratch import Scratch


class TileSums(NamedTuple):
    """Squared distances (n, m) in float64; those of row i are accurate where they are at least least[i], (n,)."""

    distances: Floats
    least: Doubles


class SumTiles(Protocol):
    """A way to compute tiles. depth: how many coordinates it multiplies at a time."""

    depth: int

    def sums(self, x: Floats, c: Floats, out: Floats | None = None) -> TileSums:
        """x (n, D), c (m, D) -> the tile, its distances in `out` (n, m) if that is given and the way allows it."""


class WidenedSums:
    """float32 points, in float64, moved so that the first c is the origin. One product makes d of the rows

    (x', |x'|^2, 1) and (-2 c', 1, |c'|^2),        x' = x - origin, c' = c - origin.
    """

    def __init__(self, scratch: Scratch, depth: int) -> None:
        self._scratch, self.depth = scratch, depth

    def sums(self, x: Floats, c: Floats, out: Floats | None = None) -> TileSums:
        """x (n, D), c (m, D) -> the tile. `out` is not used: the caller rounds the distances to float32."""
        (n, D), m = x.shape, len(c)
        distances, squares_x, squares_c = self._scratch("distances", (n, m), np.float64), np.zeros(n), np.zeros(m)
        for run in cut(D, self.depth):
            w, origin = run.stop - run.start, c[:1, run]
            rows_x = self._moved("left", x[:, run], origin)
            rows_c = self._moved("right", c[:, run], origin)
            rows_x[:, w] = np.vecdot(rows_x[:, :w], rows_x[:, :w])
            rows_c[:, w + 1] = np.vecdot(rows_c[:, :w], rows_c[:, :w])
            squares_x += rows_x[:, w]
            squares_c += rows_c[:, w + 1]
            rows_c[:, :w] *= -2
            if run.start:
                add_product(rows_x, rows_c.T, distances, self._scratch("weights of x", (n, m), np.float64))
            else:
                multiply(rows_x, rows_c.T, out=distances)
        # An error of 2 (D + 8) units of |x'|^2 + |c'|^2 is to be at most a quarter of float32's unit of the distance.
        share = 2 * (D + 8) * UNIT / (2.0**-23 / 4)
        return TileSums(distances, share * (squares_x + squares_c.max()))

    def _moved(self, name: str, points: Floats, origin: Floats) -> Doubles:
        """(points - origin, 1, 1), (n, w + 2). points (n, w), origin (1, w)."""
        n, w = points.shape
        rows = self._scratch(name, (n, w + 2), np.float64)
        np.subtract(points, origin, out=rows[:, :w], dtype=np.float64)
        rows[:, w:] = 1
        return rows


class SplitSums:
    """float64 points, in halves on a grid of step q. Three products make |x - c|^2 = |x1 - c1|^2 + R:

        (x1, |x1|^2, 1) . (-2 c1, 1, |c1|^2) = |x1 - c1|^2, exact
        (x1, |x1|^2, 1) . (-2 c2, 0, 0)      = -2 x1 . c2
        (x2, r_x, 1)    . (-2 c, 1, r_c)     = -2 x2 . c + r_x + r_c,       r_x = |x|^2 - |x1|^2 = 2 x1 . x2 + |x2|^2

    R is the sum of the last two. As |x2| <= sqrt(D) q / 2, it is at most q (2 sqrt(D) (|x1| + |c1|) + 4 D q).
    """

    def __init__(self, scratch: Scratch, depth: int, q: float) -> None:
        self._scratch, self.depth, self._q = scratch, depth, q

    def sums(self, x: Floats, c: Floats, out: Floats | None = None) -> TileSums:
        """x (n, D), c (m, D) -> the tile, its distances in `out` (n, m) if that is given."""
        (n, D), m = x.shape, len(c)
        exact, rest = self._scratch("x", (2, n, m), np.float64)
        exact = exact if out is None else out
        squares = np.zeros(n + m)  # |x1|^2, then |c1|^2
        for run in cut(D, self.depth):
            w = run.stop - run.start
            points, of_first, of_rest = self._split(x[:, run], c[:, run])
            (x1, x2, _), (c1, c2, whole_c) = points[:, :n], points[:, n:]
            points[:, n:] *= -2
            x1[:, w], x1[:, w + 1] = of_first[:n], 1
            c1[:, w], c1[:, w + 1] = 1, of_first[n:]
            x2[:, w], x2[:, w + 1] = of_rest[:n], 1
            whole_c[:, w], whole_c[:, w + 1] = 1, of_rest[n:]
            product = self._scratch("weights of x", (n, m), np.float64)
            if run.start:
                add_product(x1, c1.T, exact, product)
                add_product(x1, c2.T, rest, product)
            else:
                multiply(x1, c1.T, out=exact)
                multiply(x1, c2.T, out=rest)
            add_product(x2, whole_c.T, rest, product)
            squares += of_first
        exact += rest
        return TileSums(exact, self._least(squares[:n], squares[n:].max(), D))

    def _least(self, squares_x: Doubles, largest_c: float, D: int) -> Doubles:
        """`least` of every row, (n,): from there on the error of R is at most four units of the distance.

        The error of R is at most `units` units of the largest value that R can have.
        """
        units = 3 * min(D, self.depth) + D / self.depth + 16
        most = 2 * np.sqrt(D * squares_x) + (2 * math.sqrt(D * largest_c) + 4 * D * self._q)  # of R, over q
        return units / 4 * self._q * most

    def _split(self, x: Floats, c: Floats) -> tuple[Doubles, Doubles, Doubles]:
        """All points, x before c, with two columns of zeros: first halves, second halves, whole, (3, n + m, w + 2).

        And of each point |x1|^2 and r_x = |x|^2 - |x1|^2, (n + m,).
        """
        (n, w), m = x.shape, len(c)
        points = self._scratch("tile", (3, n + m, w + 2), np.float64)
        first, second, whole = points
        whole[:n, :w], whole[n:, :w], whole[:, w:] = x, c, 0
        split(whole, self._q, first, second)
        of_rest = np.vecdot(second, first)
        of_rest += np.vecdot(second, whole)
        return points, np.vecdot(first, first), of_rest
