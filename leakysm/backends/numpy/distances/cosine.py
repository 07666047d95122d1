"""Cosine distances of float32 vectors, y_ij = 1 - u_i . v_j with u = x / |x|, v = c / |c|, in float64.

    dx_i = -(s_i - (u_i . s_i) u_i) / |x_i|,  s_i = sum over j of dy_ij v_j

The scale of the error bound includes the terms that cancel, so matrix products are accurate enough. For float64 input
they would have no digits to spare, so the reference computes it. A zero vector: u = 0, distance 1, gradient 0.
"""

from __future__ import annotations

import numpy as np

from leakysm.backends.numpy.arrays import Doubles, Floats
from leakysm.backends.numpy.runs import Runs, cut
from leakysm.backends.numpy.threads import Workers

POINTS, VALUES = 256, 1 << 18  # of a tile, at most


def cosine_distances(x: Floats, c: Floats, workers: Workers, *, points: int = POINTS) -> Floats:
    """x (N, D), c (M, D) float32 -> (N, M). points: of a tile, at most."""
    y = np.empty((len(x), len(c)), x.dtype)

    def fill(rows: slice) -> None:
        units = _units(x[rows])[0]
        for others in _runs(c, points):
            y[rows, others] = 1 - units @ _units(c[others])[0].T

    workers.map(fill, _runs(x, points))
    return y


def cosine_gradient(x: Floats, c: Floats, dy: Floats, workers: Workers, *, points: int = POINTS) -> Floats:
    """x (N, D), c (M, D), dy (N, M) float32 -> dx (N, D). points: of a tile, at most."""
    dx = np.empty_like(x, order="C")

    def fill(rows: slice) -> None:
        units, inverse = _units(x[rows])
        sums = np.zeros_like(units)
        for others in _runs(c, points):
            sums += dy[rows, others].astype(np.float64) @ _units(c[others])[0]
        sums -= np.vecdot(units, sums)[:, None] * units
        dx[rows] = sums * -inverse

    workers.map(fill, _runs(x, points))
    return dx


def _units(points: Floats) -> tuple[Doubles, Doubles]:
    """Unit vectors and 1 / norm, (n, D) and (n, 1), in float64; zeros for a zero vector."""
    wide = points.astype(np.float64, order="C")
    norm = np.sqrt(np.add.reduce(wide * wide, axis=1, keepdims=True))
    inverse = np.where(norm == 0, 0, 1 / norm)
    return wide * inverse, inverse


def _runs(points: Floats, most: int) -> Runs:
    return cut(len(points), min(most, VALUES // max(1, points.shape[1])))
