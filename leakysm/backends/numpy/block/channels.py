"""Sums over channels of rows (m, F): what batch norm needs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

RUN = 32  # rows that are added one after another; their sums are then added pairwise, in float64
LAST = 8  # rows whose sum is made in float64
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


def halved_sums(*several: np.ndarray) -> np.ndarray:
    """As `column_sums`, added pairwise throughout: log2(m) roundings, where a run of 32 alone can have 31.

    For sums that are results themselves and have no larger error beside them; it takes twice as long.
    """
    sums = np.empty((len(several), several[0].shape[1]))
    for rows, out in zip(several, sums, strict=True):
        while len(rows) > LAST:
            half, middle = divmod(len(rows), 2)
            added = rows[:half] + rows[half + middle :]
            rows = np.concatenate([added, rows[half : half + 1]]) if middle else added
        out[...] = pairwise_sum(list(rows.astype(np.float64))) if len(rows) else 0
    return sums


def estimated_mean(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Mean (F,) of the convolution's outputs, as if pixels were everywhere as they are on average on a few images.

    x (N, H, W, C), w (9 C, F) -> float64.
    """
    N, H, W, C = x.shape
    pixels = x[:: -(-N // FEW)].reshape(-1, C)
    vertical, horizontal = (np.array([1 - 1 / n, 1, 1 - 1 / n]) for n in (H, W))  # how often a tap meets the image
    meets = np.outer(vertical, horizontal).reshape(9) / 9  # means, not sums, so that nothing overflows
    taps = (meets.astype(w.dtype) @ w.reshape(9, -1)).reshape(C, w.shape[1])
    mean: np.ndarray = column_sums(pixels / x.dtype.type(len(pixels)))[0] @ taps * 9
    return mean
