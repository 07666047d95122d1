"""Sums over the rows of (m, F), one for each channel: what batch norm needs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from leakysm.backends.numpy.arrays import Doubles, Floats
from leakysm.backends.numpy.sums import pairwise_sum

RUN = 32  # rows that are added one after another, in their own dtype
LAST = 8  # rows; a sum by halves goes on in float64 once no more are left
FEW = 8  # images from which the mean is estimated

ONES = {np.dtype(t): np.ones(RUN, t) for t in (np.float32, np.float64)}


@lru_cache(maxsize=256)
def _runs(m: int) -> tuple[int, int, int]:
    """How m rows are cut into runs: the rows of a run, the number of whole runs, and the rows left over."""
    run = next((r for r in range(RUN, RUN // 2, -1) if m % r == 0), RUN)
    return run, *divmod(m, run)


def column_sums(*several: Floats) -> Doubles:
    """The sums of k arrays (m, F) -> (k, F) in float64.

    A run of rows is summed by a product with ones, in the rows' dtype; the runs' sums are added in float64. By np.sum
    in float64, which turns every value into a float64 first, a training step takes 1.02 to 1.04 times as long.
    """
    m, F = several[0].shape
    run, full, rest = _runs(m)
    ones = ONES[several[0].dtype]
    runs = np.empty((len(several), full, F), several[0].dtype)
    for rows, out in zip(several, runs, strict=True):
        np.matmul(ones[:run], rows[: full * run].reshape(full, run, F), out=out)
    sums: Doubles = np.add.reduce(runs, axis=1, dtype=np.float64)
    if rest:
        sums += [np.matmul(ones[:rest], rows[full * run :]) for rows in several]
    return sums


def halved_sums(*several: Floats) -> Doubles:
    """The sums of k arrays (m, F) -> (k, F) in float64, by halves: log2(m) roundings deep.

    A run of 32 in `column_sums` alone can have 31 roundings. So this is for sums that are results themselves and have
    no larger error beside them; it takes twice as long.
    """
    sums = np.empty((len(several), several[0].shape[1]))
    for rows, out in zip(several, sums, strict=True):
        while len(rows) > LAST:
            half, middle = divmod(len(rows), 2)
            added = rows[:half] + rows[half + middle :]
            rows = np.concatenate([added, rows[half : half + 1]]) if middle else added
        out[...] = pairwise_sum(list(rows.astype(np.float64))) if len(rows) else 0
    return sums


def estimated_mean(x: Floats, w: Floats) -> Floats:
    """An estimate of the mean (F,) of the convolution's outputs: as if every pixel were the mean pixel of a few images.

    x (N, H, W, C), w (9 C, F). An output's mean is then the sum over taps of w, times the part of all pixels where the
    tap meets the image, times the mean pixel. Means are taken in place of sums, so that nothing overflows.
    """
    N, H, W, C = x.shape
    pixels = x[:: -(-N // FEW)].reshape(-1, C)
    mean_pixel = column_sums(pixels / x.dtype.type(len(pixels)))[0]
    vertical, horizontal = (np.array([1 - 1 / n, 1, 1 - 1 / n]) for n in (H, W))
    meets = np.outer(vertical, horizontal).reshape(9)
    mean_tap = ((meets / 9).astype(w.dtype) @ w.reshape(9, -1)).reshape(C, w.shape[1])
    mean: Floats = mean_pixel @ mean_tap * 9
    return mean
