"""The leaky distance that restricts every coordinate, y_ij = sum_k r((x_ik - c_jk)^2): no product, so tile by tile.

A tile of differences stays in cache. Differences of float32 numbers, their squares, and the side of the threshold they
are on are exact in float64. The restriction takes four short passes, without a choice between two values:
r(q) = min(q, t) + s (q - min(q, t)), which is q itself, bit for bit, where q <= t.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from leakysm.backends.numpy.arrays import Floats
from leakysm.backends.numpy.distances.tiling import CoordinateTiling
from leakysm.backends.numpy.runs import Runs, cut
from leakysm.backends.numpy.sums import pairwise_sum
from leakysm.backends.numpy.threads import Workers
from leakysm.ops.arrays import tree_sum
from leakysm.ops.restriction import Leak


class Cuts(NamedTuple):
    """Runs of points, of coordinates, and of points of the other side."""

    points: Runs
    depths: Runs
    others: Runs


def restricted_sums(x: Floats, c: Floats, leak: Leak, workers: Workers, tiling: CoordinateTiling) -> Floats:
    """x (N, D), c (M, D) -> (N, M)."""
    y = np.zeros((len(x), len(c)), x.dtype)
    cuts = _cuts(x, c, tiling)

    def fill(i: slice) -> None:
        for j in cuts.others:
            parts: list[Floats] = [np.zeros((i.stop - i.start, j.stop - j.start))]
            for k in cuts.depths:
                squares = np.subtract(x[i, None, k], c[None, j, k], dtype=np.float64, order="C")
                np.multiply(squares, squares, out=squares)
                within = np.minimum(squares, np.full_like(squares, leak.threshold))
                squares -= within
                squares *= leak.slope
                squares += within
                parts.append(np.add.reduce(squares, axis=-1))
            y[i, j] = pairwise_sum(parts)

    workers.map(fill, cuts.points)
    return y


def restricted_gradient(
    x: Floats, c: Floats, dy: Floats, leak: Leak, workers: Workers, tiling: CoordinateTiling
) -> Floats:
    """dx_ik = sum over j of 2 dy_ij r'((x_ik - c_jk)^2) (x_ik - c_jk). x (N, D), c (M, D), dy (N, M) -> (N, D)."""
    dx = np.zeros_like(x, order="C")
    cuts = _cuts(x, c, tiling)

    def fill(i: slice) -> None:
        for k in cuts.depths:
            parts: list[Floats] = []
            for j in cuts.others:
                difference = np.subtract(x[i, None, k], c[None, j, k], dtype=np.float64)
                difference *= np.where(difference * difference <= leak.threshold, 1, leak.slope)
                difference *= 2 * dy[i, j, None].astype(np.float64)
                parts.append(tree_sum(np, difference, axis=1))
            dx[i, k] = pairwise_sum(parts)

    workers.map(fill, cuts.points)
    return dx


def _cuts(x: Floats, c: Floats, tiling: CoordinateTiling) -> Cuts:
    others, depths = cut(len(c), tiling.across), cut(x.shape[1], tiling.depth)
    width = max(j.stop - j.start for j in others) * max(k.stop - k.start for k in depths)
    return Cuts(cut(len(x), tiling.differences // max(1, width)), depths, others)
