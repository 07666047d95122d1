"""A block of Conv4 in training: convolution, batch norm over the batch, ReLU, 2x2 max pool, in one pass over chunks.

The mean of the outputs follows from the sums of the inputs, so it is known beforehand. Then, for each chunk in cache:
im2col, one matrix product, centring, the pooled maximum, the sum of squares (of deviations: nothing cancels). Then, on
a quarter of the data, y = relu(|scale| / sigma maximum + shift).

Weights of channels with a negative scale are negated on the way in, which negates their outputs exactly: so a maximum
serves every channel. Their gradients are negated on the way out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakysm.backends.checks import check_batch, check_block
from leakysm.backends.numpy.channels import PerChannel, run_sums, tap_sums, total
from leakysm.backends.numpy.memory import Memory
from leakysm.backends.numpy.patches import Patches, add_products, few_channels
from leakysm.backends.numpy.pooling import pool
from leakysm.backends.numpy.products import multiply
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers
from leakysm.backends.numpy.windows import (
    Chunk,
    Task,
    columns_by_tap,
    columns_of,
    cut,
    padded_images,
    plan,
    rows_of_chunk,
    windows_of,
)
from leakysm.ops.arrays import quiet
from leakysm.ops.batch_norm import EPS

PIECE = 4096  # rows of pooled values that are worked on at a time


@dataclass(frozen=True)
class Block:
    """What a forward pass leaves for the backward pass. Outputs and pooled values stand by chunk, in window order.

    Outputs are negated where the scale is negative, and less `subtracted`: their true mean is `offset`.
    """

    x: np.ndarray  # (N, H, W, C) contiguous
    w: np.ndarray  # (9 C, F) negated where the scale is negative
    sign: np.ndarray  # (F,) 1 or -1
    gain: np.ndarray  # (F,) |scale|, float64
    subtracted: np.ndarray  # (F,) from the outputs: their mean, rounded; nothing where they are not kept
    offset: np.ndarray  # (F,) what is left of the mean, float64
    inverse: np.ndarray  # (F,) 1 / sigma, float64
    outputs: np.ndarray | None  # (N H W, F); None for few channels, where they cost less to compute than to keep
    patches: Patches | None  # moments of the im2col matrix, kept in place of the outputs
    largest: np.ndarray  # (N h w, F)
    choice: np.ndarray  # (3, N h w, F) bool
    positive: np.ndarray  # (N h w, F) bool: y > 0
    tasks: tuple[Task, ...]


class Forward:
    """The forward pass on a set of threads."""

    def __init__(self, workers: Workers, memory: Memory) -> None:
        self._workers, self._memory = workers, memory
        self._scratch = Scratch()

    @quiet
    def __call__(
        self, x: np.ndarray, w: np.ndarray, scale: np.ndarray, shift: np.ndarray, *, eps: float = EPS
    ) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], Block]:
        """x (N, H, W, C), w (3, 3, C, F), scale, shift (F,) -> y (N, H // 2, W // 2, F), mean, biased variance (F,)."""
        check_block(eps, x, w, scale=scale, shift=shift)
        check_batch(x)
        (N, H, W, C), F, dtype = x.shape, w.shape[3], x.dtype
        x, sign = np.ascontiguousarray(x), np.where(scale < 0, -1, 1).astype(dtype)
        signed, pooled, thin = (w * sign).reshape(9 * C, F), (N * (H // 2) * (W // 2), F), few_channels(x)
        sums = tap_sums(x, self._workers)
        mean = sums @ signed.astype(np.float64) / (N * H * W)
        subtracted = np.zeros_like(scale) if thin else mean.astype(dtype)
        block = Block(
            x,
            signed,
            sign,
            gain=np.abs(scale.astype(np.float64)),
            subtracted=subtracted,
            offset=mean - subtracted,
            inverse=np.empty(F),
            outputs=None if thin else self._memory((N * H * W, F), dtype),
            patches=Patches(N * H * W, sums, np.zeros((9 * C, 9 * C))) if thin else None,
            largest=self._memory(pooled, dtype),
            choice=self._memory((3, *pooled), bool),
            positive=self._memory(pooled, bool),
            tasks=plan(N, H, W, rows_of_chunk(9 * C + F, dtype, N * H * W)),
        )
        variance = self._convolve(block) if block.patches is None else self._convolve_few_channels(block, block.patches)
        np.divide(1, np.sqrt(variance + eps), out=block.inverse)
        y = self._normalise(block, shift)
        return (y.reshape(N, H // 2, W // 2, F), (sign * mean).astype(dtype), variance.astype(dtype)), block

    def _convolve(self, block: Block) -> np.ndarray:
        """Fill outputs, largest and choice; return the variance (F,) in float64."""
        outputs, centre = block.outputs, PerChannel(block.subtracted)
        assert outputs is not None

        def convolve(task: Task) -> list[np.ndarray]:
            windows = windows_of(padded_images(block.x, task, self._scratch))
            sums = []
            for chunk in task:
                rows = outputs[chunk.outputs]
                multiply(columns_of(windows, chunk, self._scratch), block.w, out=rows)
                centre.apply(np.subtract, rows, rows)
                self._pool(block, chunk, rows)
                squares = self._scratch("squares", rows.shape, rows.dtype)
                np.multiply(rows, rows, out=squares)
                sums.append(run_sums(squares))
            return sums

        sums = [part for parts in self._workers.map(convolve, block.tasks) for part in parts]
        variance: np.ndarray = np.maximum(total(sums) / len(outputs) - block.offset**2, 0)
        return variance

    def _convolve_few_channels(self, block: Block, patches: Patches) -> np.ndarray:
        """The same without keeping outputs: the variance follows from the second moments of the im2col matrix."""
        F = block.w.shape[1]

        def convolve(task: Task) -> np.ndarray:
            padded, products = padded_images(block.x, task, self._scratch), np.zeros_like(patches.products)
            for chunk in task:
                columns = columns_by_tap(padded, chunk, self._scratch)
                rows = self._scratch("outputs", (columns.shape[1], F), block.w.dtype)
                multiply(columns.T, block.w, out=rows)
                self._pool(block, chunk, rows)
                add_products(products, columns, self._scratch)
            return products

        patches.add(self._workers.map(convolve, block.tasks))
        return patches.variance(block.w)

    def _pool(self, block: Block, chunk: Chunk, rows: np.ndarray) -> None:
        corners = rows[: 4 * chunk.corners].reshape(4, chunk.corners, rows.shape[1])
        largest = block.largest[chunk.pooled]
        pool(corners, largest, block.choice[:, chunk.pooled], self._scratch)
        if not block.gain.all():  # scale 0: every normalised value is the shift, and the first position is the maximum
            largest[:, block.gain == 0] = corners[0][:, block.gain == 0]

    def _normalise(self, block: Block, shift: np.ndarray) -> np.ndarray:
        """y = relu(|scale| / sigma (largest - offset) + shift), (N h w, F), and where it is positive."""
        y, factor = self._memory(block.largest.shape, shift.dtype), block.gain * block.inverse
        shifts = PerChannel((shift - factor * block.offset).astype(y.dtype))
        factors, zeros = PerChannel(factor.astype(y.dtype)), PerChannel(np.zeros_like(shift))

        def normalise(run: tuple[int, int]) -> None:
            part = y[slice(*run)]
            factors.apply(np.multiply, block.largest[slice(*run)], part)
            shifts.apply(np.add, part, part)
            np.greater(part, 0, out=block.positive[slice(*run)])
            zeros.apply(np.maximum, part, part)  # with a scalar it takes three times as long

        self._workers.map(normalise, cut(len(y), PIECE))
        return y
