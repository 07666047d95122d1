"""Sums over channels of rows (m, F): what batch norm needs."""

from __future__ import annotations

import numpy as np

RUN = 32  # rows that are added one after another; their sums are then added pairwise, in float64
FEW = 8  # images that tell the mean well enough

ONES = {np.dtype(t): np.ones(RUN, t) for t in (np.float32, np.float64)}


def column_sums(rows: np.ndarray) -> np.ndarray:
    """(m, F) -> (F,) in float64: sums of runs of rows in their dtype, a matrix-vector product each, then of these."""
    m, F = rows.shape
    run = next((r for r in range(RUN, RUN // 2, -1) if m % r == 0), RUN)
    full, rest = divmod(m, run)
    ones = ONES[rows.dtype]
    runs = np.matmul(ones[:run], rows[: full * run].reshape(full, run, F))
    sums: np.ndarray = np.add.reduce(runs, axis=0, dtype=np.float64)
    return sums + np.matmul(ones[:rest], rows[full * run :]) if rest else sums


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
