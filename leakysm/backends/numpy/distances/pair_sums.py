"""Squared Euclidean distances by matrix products, |x|^2 + |c|^2 - 2 x.c, wherever that is certain to be accurate.

A product of matrices is many times faster than differences, but |x|^2 + |c|^2 cancels against 2 x.c when points are
near. Every tile therefore comes with `least`: no distance of that size or more has a relative error that matters. The
others, among them those of coincident points, are summed from differences.

float32: products in float64, so that `least` is some 10^-8 D of |x|^2 + |c|^2. The points are moved first so that one
of them is the origin. float64: numbers in two halves, see `halves`; `least` is some 10^-6 D of |x|^2 + |c|^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from leakysm.backends.numpy.block.windows import cut
from leakysm.backends.numpy.distances.halves import SAFE, UNIT, bits_for, largest, split, step
from leakysm.backends.numpy.products import multiply
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers
from leakysm.ops.euclidean import norm

TILE = 155_000  # coordinates of a tile's points, one way
SHORTEST, LONGEST = 64, 320  # points of a tile, both ways
ALONE = 4_000_000  # differences below which one thread is faster
THREADS = 5  # at most: 8 MB each
DEPTH = 512  # coordinates that are multiplied at a time
WHOLE = 1024  # the same for float64, whose passes over the points are to be long
GATHERED = 1 << 17  # values of pairs that are summed from differences at a time

Place = tuple[slice, slice]
# Distances (n, m) of a tile in float64; squares (n,); and the `least` that is certain in rows with such squares.
Sums = tuple[np.ndarray, np.ndarray, Callable[[Any], Any]]
Finish = Callable[[np.ndarray, Place], np.ndarray]


class PairSums:
    """Distances of all pairs on a set of threads. Memory beyond the result: some 8 MB a thread, at any size."""

    def __init__(self, workers: Workers, scratch: Scratch) -> None:
        self._workers, self._scratch = workers, scratch

    def __call__(
        self, x: np.ndarray, c: np.ndarray, *, root: bool = False, finish: Finish | None = None
    ) -> np.ndarray | None:
        """x (N, D), c (M, D), float32 or float64 -> squared distances (N, M), or their square roots.

        finish(distances in float64, place) -> what shall stand in this place of the result.
        None where float64 numbers are too large or too small to be scaled, or not finite.
        """
        (N, D), M = x.shape, len(c)
        y = np.empty((N, M), x.dtype)
        if 0 in (N, M, D):
            y[...] = 0
            return y
        q = None
        if x.dtype == np.float64:
            magnitudes = largest(x), largest(c)
            if not all(m <= SAFE for m in magnitudes) or 0 < max(magnitudes) < 1 / SAFE:
                return None
            q = step(max(magnitudes), bits_for(D))

        def fill(place: Place) -> None:
            a, b = x[place[0]], c[place[1]]
            there = y[place] if q is not None and len(b) == M and not (root or finish) else None
            found = self._widened(a, b) if q is None else self._halves(a, b, q, there)
            distances, near = found[0], self._near(*found)
            if root:
                np.sqrt(distances, out=distances)
            if near is not None:
                distances[near] = self._differences(a, b, *near, root)
            if distances is not there:
                y[place] = finish(distances, place) if finish else distances

        size = max(SHORTEST, min(LONGEST, TILE // min(D, DEPTH if q is None else WHOLE)))
        tiles = [(slice(*rows), slice(*columns)) for rows in cut(N, size) for columns in cut(M, size)]
        self._workers.map(fill, tiles, at_most=THREADS if N * M * D > ALONE else 1)
        return y

    def _widened(self, x: np.ndarray, c: np.ndarray) -> Sums:
        """float32: distances (n, m) in float64, |x|^2, and `least`.

        In one product: rows (x, |x|^2, 1) by rows (-2 c, 1, |c|^2). Its error is at most 2 (D + 8) units of
        |x|^2 + |c|^2, which is to be a quarter of float32's.
        """
        (n, D), m = x.shape, len(c)
        distances, squares_x, squares_c = self._scratch("distances", (n, m), np.float64), np.zeros(n), np.zeros(m)
        for start, stop in cut(D, DEPTH):
            k, w = slice(start, stop), stop - start
            left, right = (self._scratch(name, (len(a), w + 2), np.float64) for name, a in (("left", x), ("right", c)))
            for side, points, squares, at in ((left, x, squares_x, w), (right, c, squares_c, w + 1)):
                np.subtract(points[:, k], c[:1, k], out=side[:, :w], dtype=np.float64)
                side[:, w:] = 1
                side[:, at] = np.vecdot(side[:, :w], side[:, :w])
                squares += side[:, at]
            right[:, :w] *= -2
            self._product(left, right, distances, start > 0)
        share, of_c = 2 * (D + 8) * UNIT / (2.0**-23 / 4), squares_c.max()
        return distances, squares_x, lambda of_x: share * (of_x + of_c)

    def _halves(self, x: np.ndarray, c: np.ndarray, q: float, there: np.ndarray | None) -> Sums:
        """float64: distances (n, m), in the array `there` if that is given; |x1|^2, and `least`.

        With x = x1 + x2, c = c1 + c2: |x1 - c1|^2 by an exact product, of rows (x1, |x1|^2, 1) by (-2 c1, 1, |c1|^2);
        the rest of |x - c|^2, 2 x1 x2 + x2^2 + 2 c1 c2 + c2^2 - 2 (x1 c2 + x2 c), by others, smaller by 2^bits.
        """
        (n, D), m = x.shape, len(c)
        exact, rest = self._scratch("x", (2, n, m), np.float64)
        exact = exact if there is None else there
        squares = np.zeros(0)  # |x1|^2, |c1|^2
        for start, stop in cut(D, WHOLE):
            joined, sums = self._split(x[:, start:stop], c[:, start:stop], q)
            left, right = joined[:2, :n], joined[:, n:]
            right *= -2
            left[..., -2], left[..., -1] = sums[:, :n], 1
            right[::2, :, -2], right[::2, :, -1] = 1, sums[:, n:]
            self._product(left[0], right[0], exact, start > 0)
            self._product(left[0], right[1], rest, start > 0)
            self._product(left[1], right[2], rest, True)
            squares = squares + sums[0] if start else sums[0]
        exact += rest
        share, of_c = (3 * min(D, WHOLE) + D / WHOLE + 16) / 4 * q, 2 * math.sqrt(D * squares[n:].max()) + 4 * D * q
        # Times q: more than what `rest` adds up.
        return exact, squares[:n], lambda of_x: share * (2 * np.sqrt(D * of_x) + of_c)

    def _split(self, x: np.ndarray, c: np.ndarray, q: float) -> tuple[np.ndarray, np.ndarray]:
        """All points in two halves and whole, with two columns of zeros, (3, n + m, w + 2).

        And (2, n + m), of x and likewise of c: |x1|^2, and the rest of |x|^2, 2 x1 x2 + |x2|^2.
        """
        (n, w), m = x.shape, len(c)
        joined, sums = self._scratch("tile", (3, n + m, w + 2), np.float64), np.empty((2, n + m))
        first, second, whole = joined
        whole[:n, :w], whole[n:, :w], whole[:, w:] = x, c, 0
        split(whole, q, first, second)
        np.vecdot(first, first, out=sums[0])
        np.vecdot(second, first, out=sums[1])
        sums[1] += np.vecdot(second, whole)
        return joined, sums

    def _product(self, left: np.ndarray, right: np.ndarray, total: np.ndarray, add: bool) -> None:
        """total = left right^T, or total += left right^T."""
        product = self._scratch("weights of x", total.shape, np.float64) if add else total
        multiply(left, right.T, out=product)
        if add:
            total += product

    def _near(
        self, distances: np.ndarray, squares: np.ndarray, least_of: Callable[[Any], Any]
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The pairs of a tile that are not certain; None if all are. NaN is not."""
        if distances.min() >= least_of(squares.max()):
            return None
        least = least_of(squares)
        rows = np.flatnonzero(~(distances.min(axis=1) >= least))
        found, columns = np.nonzero(~(distances[rows] >= least[rows, None]))
        return rows[found], columns

    def _differences(self, x: np.ndarray, c: np.ndarray, i: np.ndarray, j: np.ndarray, root: bool) -> np.ndarray:
        """Distances of the pairs (i, j), summed from differences in float64."""
        found, combine = np.zeros(len(i)), np.hypot if root else np.add
        for pairs in (slice(*run) for run in cut(len(i), GATHERED // x.shape[1])):
            for k in (slice(*run) for run in cut(x.shape[1], GATHERED)):
                difference = np.subtract(x[i[pairs], k], c[j[pairs], k], dtype=np.float64)
                part = norm(np, difference) if root else np.add.reduce(difference * difference, axis=1)
                found[pairs] = combine(found[pairs], part)
        return found
