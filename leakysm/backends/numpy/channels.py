"""Sums over channels of rows (m, F): what batch norm needs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

RUN = 32  # rows that are added one after another; their sums are then added pairwise, in float64
FEW = 8  # images that tell the mean well enough

ONES = {np.dtype(t): np.ones(RUN, t) for t in (np.float32, np.float64)}


@lru_cache(maxsize=256)
def _runs(m: int) -> tuple[int, int, int]:
    """Rows of a run, whole runs, and rows left over, of m rows."""
    run = next((r for r in range(RUN, RUN // 2, -1) if m % r == 0), RUN)
    return run, *divmod(m, run)


def column_sums(*several: np.ndarray) -> np.ndarray:
    """Of k arrays (m, F) -> (k, F) in float64: sums of runs of rows in their dtype, a product each, then of these."""
    m, F = several[0].shape
    run, full, rest = _runs(m)
    ones = ONES[several[0].dtype]
    runs = np.empty((len(several), full, F), several[0].dtype)
    for rows, out in zip(several, runs, strict=True):
        np.matmul(ones[:run], rows[: full * run].reshape(full, run, F), out=out)
    sums: np.ndarray = np.add.reduce(runs, axis=1, dtype=np.float64)
    if rest:
        sums += [np.matmul(ones[:rest], rows[full * run :]) for rows in several]
    return sums


def pairwise_sum(parts: list[np.ndarray]) -> np.ndarray:
    """The sum of at least one array, in the first one's memory: rounding errors grow with log2 of their number."""
    while len(parts) > 1:
        half = len(parts) // 2
        for i in range(half):
            parts[i] += parts[half + i]
        parts = parts[:half] + parts[2 * half :]
    return parts[0]


def estimated_mean(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Mean (F,) of the convolution's outputs on a few of the images. x (N, H, W, C), w (9 C, F) -> float64."""
    N, H, W, C = x.shape
    some = x[:: -(-N // FEW)]
    images = np.zeros((H + 2, W + 2, C))
    np.add.reduce(some, axis=0, dtype=np.float64, out=images[1:-1, 1:-1])
    sums = [images[i : i + H, j : j + W].sum(axis=(0, 1)) for i in range(3) for j in range(3)]
    mean: np.ndarray = np.concatenate(sums) @ w.astype(np.float64) / (len(some) * H * W)
    return mean
