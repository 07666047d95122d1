"""Per-channel arithmetic and sums on rows (m, F): what batch norm needs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from leakysm.backends.numpy.threads import Workers
from leakysm.backends.numpy.windows import cut
from leakysm.ops.arrays import tree_sum

TILE = 16384  # values of a repeated channel vector, at most: below some 6,000, NumPy takes half as long again
RUN = 32  # rows that are added one after another; their sums are then added pairwise, in float64
FEW = 8  # the same for images

ONES = {np.dtype(t): np.ones(RUN, t) for t in (np.float32, np.float64)}


@lru_cache(maxsize=512)
def _repeats(rows: int, channels: int) -> int:
    """How often a channel vector is repeated: the largest divisor of `rows` that keeps within a tile."""
    fits = range(1, max(1, min(rows, TILE // max(1, channels))) + 1)
    return max(k for k in fits if rows % k == 0) if rows else 1


class PerChannel:
    """A channel vector (F,), repeated so that NumPy's loops over rows (m, F) are long ones and not m of length F."""

    def __init__(self, vector: np.ndarray) -> None:
        self._vector = vector
        self._tiles: dict[int, np.ndarray] = {}

    def apply(self, ufunc: np.ufunc, rows: np.ndarray, out: np.ndarray) -> None:
        """out = ufunc(rows, vector), both (m, F) and contiguous."""
        m, F = rows.shape
        k = _repeats(m, F)
        if k not in self._tiles:
            self._tiles[k] = np.tile(self._vector, k)
        ufunc(rows.reshape(m // k, k * F), self._tiles[k], out=out.reshape(m // k, k * F))


def run_sums(rows: np.ndarray) -> np.ndarray:
    """(m, F) -> about (m / RUN, F) in the rows' dtype: sums of runs of rows, one matrix-vector product each."""
    m, F = rows.shape
    run = next((r for r in range(RUN, RUN // 2, -1) if m % r == 0), RUN)
    full, rest = divmod(m, run)
    ones = ONES[rows.dtype]
    sums: np.ndarray = np.matmul(ones[:run], rows[: full * run].reshape(full, run, F))
    return np.concatenate([sums, [np.matmul(ones[:rest], rows[full * run :])]]) if rest else sums


def total(run_sums: list[np.ndarray]) -> np.ndarray:
    """The sum of many `run_sums`, (F,) in float64."""
    summed: np.ndarray = tree_sum(np, np.concatenate(run_sums).astype(np.float64), axis=0)
    return summed


def pairwise_sum(parts: list[np.ndarray]) -> np.ndarray:
    """The sum of at least one array, in the first one's memory: rounding errors grow with log2 of their number."""
    while len(parts) > 1:
        half = len(parts) // 2
        for i in range(half):
            parts[i] += parts[half + i]
        parts = parts[:half] + parts[2 * half :]
    return parts[0]


def tap_sums(x: np.ndarray, workers: Workers) -> np.ndarray:
    """Column sums of the batch's im2col matrix, without making it. x (N, H, W, C) -> (9 C,) in float64.

    With it the mean of the convolution's outputs is known before the outputs are.
    """
    N, H, W, C = x.shape

    def sum_images(run: tuple[int, int]) -> np.ndarray:
        parts = (np.add.reduce(x[first : min(first + FEW, run[1])], axis=0) for first in range(*run, FEW))
        return pairwise_sum([part.astype(np.float64) for part in parts])

    images = pairwise_sum(workers.map(sum_images, cut(N, RUN)))
    padded = np.pad(images, ((1, 1), (1, 1), (0, 0)))
    taps = np.stack([padded[i : i + H, j : j + W].reshape(H * W, C) for i in range(3) for j in range(3)])
    sums: np.ndarray = tree_sum(np, taps, axis=1)
    return sums.reshape(9 * C)
