"""Weighted sums of differences, W_ik = sum over j of w_ij (x_ik - c_jk), which all gradients of distances are made of.

By matrix products, x_ik sum_j w_ij - sum_j w_ij c_jk, wherever that is certain to be accurate: where |W_ik|, or the sum
of |w_ij (x_ik - c_jk)| over some of the j, is not small against what cancels; see `gradient_tiles`. The other elements,
among them those of coincident points, are summed from differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product, zip_longest
from typing import Any

import numpy as np

from leakysm.backends.numpy.arrays import Doubles, Floats, Integers, Mask
from leakysm.backends.numpy.distances.gradient_tiles import (
    GradientTiles,
    Place,
    Side,
    SplitTiles,
    TileGradient,
    Weights,
    WidenedTiles,
)
from leakysm.backends.numpy.distances.tiling import GradientTiling
from leakysm.backends.numpy.runs import Runs, cut
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers


class PairGradients:
    """Both gradients on a set of threads. Memory beyond the results: some 12 MB a thread, at any size."""

    def __init__(self, workers: Workers, scratch: Scratch, tiling: GradientTiling) -> None:
        self._workers, self._scratch, self._tiling = workers, scratch, tiling

    def __call__(
        self, x: Floats, c: Floats, weights: Weights, transposed: Weights, factor: float
    ) -> tuple[Floats, Floats] | None:
        """x (N, D), c (M, D), w (N, M) and w^T -> factor W (N, D), and the same seen from c, (M, D).

        None where float64 numbers are too large or too small to be scaled, or not finite.
        """
        (N, D), M, t = x.shape, len(c), self._tiling
        dx, dc = np.empty((N, D), x.dtype), np.empty((M, D), x.dtype)
        if 0 in (N, M, D):
            dx[...], dc[...] = 0, 0
            return dx, dc
        sides = Side("x", x, weights, dx), Side("c", c, transposed, dc)
        points = min(t.points, max(N, M))
        tiles: GradientTiles[Any] = (SplitTiles if x.dtype == np.float64 else WidenedTiles)(self._scratch, points)

        def fill(task: tuple[slice, tuple[slice | None, slice | None]]) -> bool:
            """Fill a strip of columns, in some rows of dx and some of dc; False if they cannot be scaled."""
            columns, rows_of = task
            scale = tiles.scale_of(columns, x, c)
            if scale is None:
                return False
            for own, other, rows in zip(sides, reversed(sides), rows_of, strict=True):
                if rows is not None:
                    tile = tiles.sums(own, other, (rows, columns), scale)
                    if tile is None:
                        return False
                    self._settle(tile, own, other.points, (rows, columns))
                    np.multiply(tile.total, factor, out=own.gradient[rows, columns], casting="same_kind")
            return True

        strips = cut(D, t.coordinates // (min(N, points) + min(M, points)))
        tasks = list(product(strips, zip_longest(cut(N, points), cut(M, points))))
        return (dx, dc) if all(self._workers.map(fill, tasks, t.threads_for(N * M * D))) else None

    def _settle(self, tile: TileGradient, own: Side, others: Floats, place: Place) -> None:
        """Replace elements that may be too small to be accurate by sums of differences."""
        size = np.abs(tile.total, out=tile.spare)
        if size.min() >= tile.of_rows.max() * tile.of_columns.max():
            return
        least = tile.of_rows * tile.of_columns
        i, k = np.divmod(np.flatnonzero(~(size >= least)), tile.total.shape[1])
        if len(i) == 0:
            return
        elements, M = Elements(own, others, place, i, k), len(others)
        if len(i) * M > self._tiling.gathered:  # many: some of them have terms so large that they are certain after all
            elements = elements.of(~(self._sizes(elements) >= np.broadcast_to(least, size.shape)[i, k]))
        for some, parts in self._blocks(elements, M):
            tile.total[some.i, some.k] = sum(np.add.reduce(some.terms(j), axis=1) for j in parts)

    def _sizes(self, elements: Elements) -> Doubles:
        """The sums of |w_ij (x_ik - c_jk)| over some of the j, (p,): lower bounds of the sums over all j."""
        M, sample = len(elements.others), self._tiling.sample
        some = slice(0, M, max(1, M // sample))
        runs = cut(len(elements.i), self._tiling.gathered // min(M, 2 * sample))
        return np.concatenate([np.abs(elements.of(run).terms(some)).sum(axis=1) for run in runs])

    def _blocks(self, elements: Elements, M: int) -> list[tuple[Elements, Runs]]:
        """The elements in blocks with few terms at a time, each with the runs of j over which it is summed."""
        gathered = self._tiling.gathered
        runs = cut(len(elements.i), gathered // min(M, gathered))
        return [(elements.of(run), cut(M, gathered)) for run in runs]


@dataclass(frozen=True)
class Elements:
    """Elements (i, k) of the tile of a gradient at `place`, each (p,), counted from the tile's first row and column."""

    own: Side
    others: Floats
    place: Place
    i: Integers
    k: Integers

    def of(self, chosen: slice | Mask) -> Elements:
        """Some of them."""
        return Elements(self.own, self.others, self.place, self.i[chosen], self.k[chosen])

    def terms(self, j: slice) -> Doubles:
        """w_ij (x_ik - c_jk) for all j, (p, m)."""
        rows, columns = self.i + self.place[0].start, self.k + self.place[1].start
        terms: Doubles = np.subtract(
            self.own.points[rows, columns][:, None], self.others[j, columns].T, dtype=np.float64, order="C"
        )
        terms *= self.own.weights(rows, j)
        return terms
