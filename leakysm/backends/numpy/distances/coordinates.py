"""The leaky distance that restricts every coordinate, y_ij = sum_k r((x_ik - c_jk)^2): no product, so tile by tile.

A tile of differences stays in cache; they and their squares are exact in float64, if given in float32, and so is
which side of the threshold they are on. The restriction takes four short passes, without a choice:
r(q) = min(q, t) + s (q - min(q, t)), which is q itself, bit for bit, where q <= t.
"""

from __future__ import annotations

import numpy as np

from leakysm.backends.numpy.block.channels import pairwise_sum
from leakysm.backends.numpy.block.windows import Runs, cut
from leakysm.backends.numpy.threads import Workers
from leakysm.ops.arrays import tree_sum
from leakysm.ops.restriction import Leak

TILE = 1 << 16  # differences of a tile
DEPTH = 512  # coordinates of a tile
ACROSS = 32  # points of the other side of a tile


def _tiles(x: np.ndarray, c: np.ndarray) -> tuple[Runs, Runs, Runs]:
    """Runs of points, of coordinates, and of points of the other side."""
    (N, D), M = x.shape, len(c)
    across, depth = cut(M, ACROSS), cut(D, DEPTH)
    width = max(stop - start for start, stop in across) * max(stop - start for start, stop in depth)
    return cut(N, TILE // max(1, width)), depth, across


def restricted_sums(x: np.ndarray, c: np.ndarray, leak: Leak, workers: Workers) -> np.ndarray:
    """x (N, D), c (M, D) -> (N, M)."""
    y = np.zeros((len(x), len(c)), x.dtype)
    runs, depths, others = _tiles(x, c)

    def fill(run: tuple[int, int]) -> None:
        i = slice(*run)
        for j in (slice(*other) for other in others):
            parts = [np.zeros((run[1] - run[0], len(c[j])))]
            for k in (slice(*depth) for depth in depths):
                squares = np.subtract(x[i, None, k], c[None, j, k], dtype=np.float64)
                np.multiply(squares, squares, out=squares)
                within = np.minimum(squares, np.full_like(squares, leak.threshold))
                squares -= within
                squares *= leak.slope
                squares += within
                parts.append(np.add.reduce(squares, axis=-1))
            y[i, j] = pairwise_sum(parts)

    workers.map(fill, runs)
    return y


def restricted_gradient(x: np.ndarray, c: np.ndarray, dy: np.ndarray, leak: Leak, workers: Workers) -> np.ndarray:
    """dx_ik = sum over j of 2 dy_ij r'((x_ik - c_jk)^2) (x_ik - c_jk). x (N, D), c (M, D), dy (N, M) -> (N, D)."""
    dx = np.zeros_like(x, order="C")
    runs, depths, others = _tiles(x, c)

    def fill(run: tuple[int, int]) -> None:
        i = slice(*run)
        for k in (slice(*depth) for depth in depths):
            parts = []
            for j in (slice(*other) for other in others):
                difference = np.subtract(x[i, None, k], c[None, j, k], dtype=np.float64)
                difference *= np.where(difference * difference <= leak.threshold, 1, leak.slope)
                difference *= 2 * dy[i, j, None].astype(np.float64)
                parts.append(tree_sum(np, difference, axis=1))
            if parts:
                dx[i, k] = pairwise_sum(parts)

    workers.map(fill, runs)
    return dx
