"""Squared Euclidean distances of all pairs, tile by tile, by products where that is certain to be accurate.

The distances that are not certain, among them those of coincident points, are summed from differences.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from leakysm.backends.numpy.arrays import Doubles, Floats, Integers
from leakysm.backends.numpy.distances.halves import SAFE, bits_for, largest, step
from leakysm.backends.numpy.distances.sum_tiles import SplitSums, SumTiles, TileSums, WidenedSums
from leakysm.backends.numpy.distances.tiling import SumTiling
from leakysm.backends.numpy.runs import cut
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers
from leakysm.ops.euclidean import norm

Place = tuple[slice, slice]  # of a tile: rows, columns
Finish = Callable[[Floats, Place], Floats]


class PairSums:
    """Distances of all pairs on a set of threads. Memory beyond the result: some 8 MB a thread, at any size."""

    def __init__(self, workers: Workers, scratch: Scratch, tiling: SumTiling) -> None:
        self._workers, self._scratch, self._tiling = workers, scratch, tiling

    def __call__(self, x: Floats, c: Floats, *, root: bool = False, finish: Finish | None = None) -> Floats | None:
        """x (N, D), c (M, D), float32 or float64 -> squared distances (N, M), or their square roots.

        finish(distances in float64, place) -> what shall stand in this place of the result.
        None where float64 numbers are too large or too small to be scaled, or not finite.
        """
        (N, D), M = x.shape, len(c)
        y = np.empty((N, M), x.dtype)
        if 0 in (N, M, D):
            y[...] = 0
            return y
        tiles = self._tiles(x, c)
        if tiles is None:
            return None

        def fill(place: Place) -> None:
            a, b = x[place[0]], c[place[1]]
            # float64 distances of whole rows, which are contiguous, can be computed where they are to stand.
            out = y[place] if y.dtype == np.float64 and len(b) == M and not (root or finish) else None
            sums = tiles.sums(a, b, out)
            distances, uncertain = sums.distances, _uncertain(sums)
            if root:
                np.sqrt(distances, out=distances)
            if uncertain is not None:
                distances[uncertain] = self._differences(a, b, *uncertain, root)
            if distances is not out:
                y[place] = finish(distances, place) if finish else distances

        t = self._tiling
        size = max(t.shortest, min(t.longest, t.coordinates // min(D, tiles.depth)))
        places = [(rows, columns) for rows in cut(N, size) for columns in cut(M, size)]
        self._workers.map(fill, places, at_most=t.threads_for(N * M * D))
        return y

    def _tiles(self, x: Floats, c: Floats) -> SumTiles | None:
        """The way to compute tiles of this dtype; None if the numbers cannot be scaled."""
        if x.dtype == np.float32:
            return WidenedSums(self._scratch, self._tiling.depth)
        magnitudes = largest(x), largest(c)
        if not all(m <= SAFE for m in magnitudes) or 0 < max(magnitudes) < 1 / SAFE:
            return None
        return SplitSums(self._scratch, self._tiling.split_depth, step(max(magnitudes), bits_for(x.shape[1])))

    def _differences(self, x: Floats, c: Floats, i: Integers, j: Integers, root: bool) -> Doubles:
        """Distances of the pairs (i, j), each (p,), summed from differences in float64; their roots if `root`."""
        distances, combine = np.zeros(len(i)), np.hypot if root else np.add
        gathered, D = self._tiling.gathered, x.shape[1]
        for pairs in cut(len(i), gathered // D):
            for k in cut(D, gathered):
                difference = np.subtract(x[i[pairs], k], c[j[pairs], k], dtype=np.float64, order="C")
                part = norm(np, difference) if root else np.add.reduce(difference * difference, axis=1)
                distances[pairs] = combine(distances[pairs], part)
        return distances


def _uncertain(sums: TileSums) -> tuple[Integers, Integers] | None:
    """The pairs (i, j) of a tile whose distances may be inaccurate, NaN among them; None if there are none."""
    distances, least = sums
    if distances.min() >= least.max():
        return None
    rows = np.flatnonzero(~(distances.min(axis=1) >= least))  # most tiles have few such rows
    row, columns = np.nonzero(~(distances[rows] >= least[rows, None]))
    return rows[row], columns
