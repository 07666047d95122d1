"""Weighted sums of differences, W_ik = sum over j of w_ij (x_ik - c_jk), which all gradients of distances are made of.

By matrix products, x_ik sum_j w_ij - sum_j w_ij c_jk, wherever that is certain to be accurate: where |W_ik|, or the sum
of |w_ij (x_ik - c_jk)| over some of the j, is not small against what cancels; see `gradient_tiles`. The other elements,
among them those of coincident points, are summed from differences.
"""

from __future__ import annotations

from itertools import product, zip_longest
from typing import Any

import numpy as np

from leakysm.backends.numpy.block.windows import cut
from leakysm.backends.numpy.distances.gradient_tiles import Halves, Side, Sums, Weights, Widened
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers

POINTS = 320  # of a tile, and of the other side that are multiplied at a time
TILE = 1 << 17  # coordinates of a tile's points, both ways: calls are few, as threads wait for one another in each
SAMPLE = 32  # of the j, for a bound from below
GATHERED = 1 << 17  # terms of uncertain elements that are summed at a time
ALONE = 4_000_000  # terms below which one thread is faster
THREADS = 5  # at most: 12 MB each, with the values' buffers


class PairGradients:
    """Both gradients on a set of threads. Memory beyond the results: some 12 MB a thread, at any size."""

    def __init__(self, workers: Workers, scratch: Scratch) -> None:
        self._workers, self._scratch = workers, scratch

    def __call__(
        self, x: np.ndarray, c: np.ndarray, weights: Weights, transposed: Weights, factor: float
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """x (N, D), c (M, D), w (N, M) and w^T -> factor W (N, D), and the same seen from c, (M, D).

        None where float64 numbers are too large or too small to be scaled, or not finite.
        """
        (N, D), M = x.shape, len(c)
        dx, dc = np.empty((N, D), x.dtype), np.empty((M, D), x.dtype)
        if 0 in (N, M, D):
            dx[...], dc[...] = 0, 0
            return dx, dc
        sides = Side("x", x, weights, dx), Side("c", c, transposed, dc)
        at_most, points = THREADS if N * M * D > ALONE else 1, min(POINTS, max(N, M))
        tiles = (Halves if x.dtype == np.float64 else Widened)(self._scratch, points)

        def fill(task: tuple[slice, Any]) -> bool:
            columns, both = task
            scale = tiles.scale_of(columns, x, c)
            for own, other, rows in zip(sides, reversed(sides), both, strict=True):
                if rows is not None:
                    place = slice(*rows), columns
                    found = None if scale is None else tiles.sums(own, other, place, scale)
                    if found is None:
                        return False
                    _settle(found, own, other.points, place)
                    np.multiply(found.total, factor, out=own.gradient[place], casting="same_kind")
            return True

        strips = [slice(*run) for run in cut(D, TILE // (min(N, points) + min(M, points)))]
        tasks = list(product(strips, zip_longest(cut(N, points), cut(M, points))))
        return (dx, dc) if all(self._workers.map(fill, tasks, at_most)) else None


def _settle(sums: Sums, own: Side, others: np.ndarray, place: tuple[slice, slice]) -> None:
    """Replace what is not certain to be large enough by sums of differences."""
    total, of_rows, of_columns, spare = sums
    size = np.abs(total, out=spare)
    if size.min() >= of_rows.max() * of_columns.max():
        return
    least = of_rows * of_columns
    i, k = np.divmod(np.flatnonzero(~(size >= least)), total.shape[1])
    if len(i) == 0:
        return
    rows, columns, M = i + place[0].start, k + place[1].start, len(others)

    def terms(run: tuple[int, int], j: slice) -> np.ndarray:
        return _terms(own, others, rows[slice(*run)], columns[slice(*run)], j)

    if len(i) * M > GATHERED:
        least = np.broadcast_to(least, total.shape)[i, k]
        some = slice(0, M, max(1, M // SAMPLE))
        sizes = [np.abs(terms(run, some)).sum(axis=1) for run in cut(len(i), GATHERED // min(M, 2 * SAMPLE))]
        uncertain = ~(np.concatenate(sizes) >= least)
        i, k, rows, columns = (index[uncertain] for index in (i, k, rows, columns))
    for run in cut(len(i), GATHERED // min(M, GATHERED)):
        found = [np.add.reduce(terms(run, slice(*part)), axis=1) for part in cut(M, GATHERED)]
        total[i[slice(*run)], k[slice(*run)]] = sum(found)


def _terms(own: Side, others: np.ndarray, i: np.ndarray, k: np.ndarray, j: slice) -> np.ndarray:
    """w_ij (x_ik - c_jk) for elements (i, k), each (p,), and all j, (p, m)."""
    terms: np.ndarray = np.subtract(own.points[i, k][:, None], others[j, k].T, dtype=np.float64)
    terms *= own.weights(i, j)
    return terms
