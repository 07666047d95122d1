"""A block of Conv4 in evaluation: as in training, with given statistics, and nothing kept but the arguments.

The backward pass is the reference's: nothing trains through given statistics, so it is not tuned.
"""

from __future__ import annotations

import numpy as np

from leakysm.backends.checks import check_block
from leakysm.backends.numpy.arrays import Floats
from leakysm.backends.numpy.block.chunks import Chunk, Task, Tiling
from leakysm.backends.numpy.block.patches import few_channels
from leakysm.backends.numpy.block.pooling import pool_values
from leakysm.backends.numpy.block.windows import columns_by_tap, columns_of, padded_images, windows_of
from leakysm.backends.numpy.memory import Memory, aligned_copy
from leakysm.backends.numpy.products import multiply
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers
from leakysm.backends.protocol import ReferenceSaved
from leakysm.ops.arrays import quiet
from leakysm.ops.batch_norm import EPS
from leakysm.ops.conv_block import conv_block_inference


class InferencePass:
    """The value of the operation `conv_block_inference`, on a set of threads."""

    def __init__(self, workers: Workers, memory: Memory, tiling: Tiling) -> None:
        self._workers, self._memory, self._tiling = workers, memory, tiling
        self._scratch = Scratch()

    @quiet
    def run(
        self,
        x: Floats,
        w: Floats,
        scale: Floats,
        shift: Floats,
        mean: Floats,
        variance: Floats,
        *,
        eps: float = EPS,
    ) -> tuple[Floats, ReferenceSaved]:
        """x (N, H, W, C), w (3, 3, C, F), the others (F,) -> y (N, H // 2, W // 2, F)."""
        check_block(eps, x, w, scale=scale, shift=shift, mean=mean, variance=variance)
        saved = ReferenceSaved((x, w, scale, shift, mean, variance), {"eps": eps})
        (N, H, W, C), F = x.shape, w.shape[3]
        factor = np.abs(scale) * (1 / np.sqrt(variance.astype(np.float64) + eps))
        if not _usual(factor, mean):  # the reference multiplies in an order that suits such numbers
            return conv_block_inference(*saved.arguments, eps=eps), saved
        sign = np.where(scale < 0, -1, 1).astype(x.dtype)
        given, signed = np.ascontiguousarray(x), aligned_copy((w * sign).reshape(9 * C, F))
        factor, centre, zero = factor.astype(x.dtype), mean * sign, np.zeros_like(shift)
        y = self._memory((N * (H // 2) * (W // 2), F), x.dtype)

        def convolve(task: Task) -> None:
            padded = padded_images(given, task, self._scratch)
            for chunk in task:
                columns = self._columns(padded, chunk)
                rows, largest = self._scratch("outputs", (len(columns), F), x.dtype), y[chunk.pooled]
                multiply(columns, signed, out=rows)
                pool_values(rows[: 4 * chunk.corners].reshape(4, chunk.corners, F), largest)
                largest -= centre
                largest *= factor
                largest += shift
                np.maximum(largest, zero, out=largest)  # with a scalar it takes 1.5 times as long

        self._workers.map(convolve, self._tiling.plan(x.shape, 9 * C + F, x.dtype))
        return y.reshape(N, H // 2, W // 2, F), saved

    def _columns(self, padded: Floats, chunk: Chunk) -> Floats:
        """im2col of a chunk, (m, 9 C)."""
        if not few_channels(padded):
            return columns_of(windows_of(padded), chunk, self._scratch)
        columns = self._scratch("columns", (9 * padded.shape[3], chunk.size), padded.dtype)
        columns_by_tap(padded, chunk, columns)
        return columns.T


def _usual(factor: Floats, mean: Floats) -> bool:
    """Whether factors |scale| / sigma (F,) are 0 or normal numbers of the dtype, and means (F,) have finite squares."""
    limits = np.finfo(mean.dtype)
    normal = (factor == 0) | ((factor >= limits.smallest_normal) & (factor <= limits.max))
    return bool(np.all(normal & (np.abs(mean) < np.sqrt(limits.max))))
