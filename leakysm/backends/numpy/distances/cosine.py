"""Cosine distances of float32 vectors, y_ij = 1 - u_i . v_j with u = x / |x|, v = c / |c|, in float64.

    dx_i = -(s_i - (u_i . s_i) u_i) / |x_i|,  s_i = sum over j of dy_ij v_j

What cancels belongs to the bound's scale, so matrix products serve; float64 alone leaves no digits to spare, and is
left to the reference. A zero vector: u = 0, distance 1, gradient 0.
"""

from __future__ import annotations

import numpy as np

from leakysm.backends.numpy.block.windows import Runs, cut
from leakysm.backends.numpy.threads import Workers

POINTS, VALUES = 256, 1 << 18  # of a tile, at most


def _units(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors and 1 / norm, (n, D) and (n, 1), in float64; zeros for a zero vector."""
    wide = points.astype(np.float64)
    norm = np.sqrt(np.add.reduce(wide * wide, axis=1, keepdims=True))
    inverse = np.where(norm == 0, 0, 1 / norm)
    return wide * inverse, inverse


def _runs(points: np.ndarray) -> Runs:
    return cut(len(points), min(POINTS, VALUES // max(1, points.shape[1])))


def cosine_distances(x: np.ndarray, c: np.ndarray, workers: Workers) -> np.ndarray:
    """x (N, D), c (M, D) float32 -> (N, M)."""
    y = np.empty((len(x), len(c)), x.dtype)

    def fill(run: tuple[int, int]) -> None:
        units = _units(x[slice(*run)])[0]
        for other in (slice(*other) for other in _runs(c)):
            y[slice(*run), other] = 1 - units @ _units(c[other])[0].T

    workers.map(fill, _runs(x))
    return y


def cosine_gradient(x: np.ndarray, c: np.ndarray, dy: np.ndarray, workers: Workers) -> np.ndarray:
    """x (N, D), c (M, D), dy (N, M) float32 -> dx (N, D)."""
    dx = np.empty_like(x, order="C")

    def fill(run: tuple[int, int]) -> None:
        rows = slice(*run)
        units, inverse = _units(x[rows])
        sums = np.zeros_like(units)
        for other in (slice(*other) for other in _runs(c)):
            sums += dy[rows, other].astype(np.float64) @ _units(c[other])[0]
        sums -= np.vecdot(units, sums)[:, None] * units
        dx[rows] = sums * -inverse

    workers.map(fill, _runs(x))
    return dx
