"""A block of Conv4 in evaluation: as in training, with given statistics, and nothing kept but the arguments.

The backward pass is the reference's: nothing trains through given statistics, so it is not tuned.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.backends.checks import check_block
from leakysm.backends.numpy.block.patches import few_channels
from leakysm.backends.numpy.block.pooling import pool_values
from leakysm.backends.numpy.block.windows import (
    Task,
    columns_by_tap,
    columns_of,
    padded_images,
    plan,
    rows_of_chunk,
    windows_of,
)
from leakysm.backends.numpy.memory import Memory
from leakysm.backends.numpy.products import multiply
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers
from leakysm.backends.protocol import Pair
from leakysm.ops.arrays import quiet
from leakysm.ops.batch_norm import EPS
from leakysm.ops.conv_block import conv_block_inference, conv_block_inference_vjp


class ConvBlockInference:
    """The pair `conv_block_inference`, on a set of threads."""

    def __init__(self, workers: Workers, memory: Memory) -> None:
        self._workers, self._memory = workers, memory
        self._scratch = Scratch()

    def pair(self) -> Pair:
        """The pair for the engine's table."""
        return Pair(self.forward, self.backward)

    @quiet
    def forward(
        self,
        x: np.ndarray,
        w: np.ndarray,
        scale: np.ndarray,
        shift: np.ndarray,
        mean: np.ndarray,
        variance: np.ndarray,
        *,
        eps: float = EPS,
    ) -> tuple[np.ndarray, Any]:
        """x (N, H, W, C), w (3, 3, C, F), the others (F,) -> y (N, H // 2, W // 2, F)."""
        check_block(eps, x, w, scale=scale, shift=shift, mean=mean, variance=variance)
        (N, H, W, C), F = x.shape, w.shape[3]
        saved = (x, w, scale, shift, mean, variance, eps)
        inverse = 1 / np.sqrt(variance.astype(np.float64) + eps)
        factor, centre = np.abs(scale) * inverse, np.abs(mean)
        limits = np.finfo(x.dtype)
        usual = (factor == 0) | ((factor >= limits.smallest_normal) & (factor <= limits.max))
        if not np.all(usual & (centre < np.sqrt(limits.max))):  # the reference multiplies in another order
            return conv_block_inference(x, w, scale, shift, mean, variance, eps=eps), saved
        sign = np.where(scale < 0, -1, 1).astype(x.dtype)
        given, signed = np.ascontiguousarray(x), (w * sign).reshape(9 * C, F)
        factor, centre, zero = factor.astype(x.dtype), mean * sign, np.zeros_like(shift)
        y = self._memory((N * (H // 2) * (W // 2), F), x.dtype)

        def convolve(task: Task) -> None:
            padded = padded_images(given, task, self._scratch)
            for chunk in task:
                if few_channels(x):
                    columns = self._scratch("columns", (9 * C, chunk.outputs.stop - chunk.outputs.start), x.dtype)
                    columns_by_tap(padded, chunk, columns)
                    columns = columns.T
                else:
                    columns = columns_of(windows_of(padded), chunk, self._scratch)
                rows, largest = self._scratch("outputs", (len(columns), F), x.dtype), y[chunk.pooled]
                multiply(columns, signed, out=rows)
                pool_values(rows[: 4 * chunk.corners].reshape(4, chunk.corners, F), largest)
                largest -= centre
                largest *= factor
                largest += shift
                np.maximum(largest, zero, out=largest)  # with a scalar it takes half as long again

        self._workers.map(convolve, plan(N, H, W, rows_of_chunk(9 * C + F, x.dtype, N * H * W)))
        return y.reshape(N, H // 2, W // 2, F), saved

    def backward(self, saved: Any, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        """dy (N, H // 2, W // 2, F) -> dx, dw, dscale, dshift, dmean, dvariance."""
        x, w, scale, shift, mean, variance, eps = saved
        gradients: tuple[np.ndarray, ...] = conv_block_inference_vjp(x, w, scale, shift, mean, variance, dy, eps=eps)
        return gradients
