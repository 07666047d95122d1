"""A block of Conv4 in training: convolution, batch norm over the batch, ReLU, 2x2 max pool, in one pass over chunks.

For each chunk in cache: im2col, one matrix product, less an estimate of the mean, the pooled maximum, the sums of the
outputs and of their squares. Then, on a quarter of the data, y = relu(|scale| / sigma (maximum - mean) + shift). The
estimate comes from a few of the images; should it be so far from the mean that squares cancel, all is done once more.

Weights of channels with a negative scale are negated on the way in, which negates their outputs exactly: so a maximum
serves every channel. Their gradients are negated on the way out. Where squares leave the dtype, which the variance
shows, weights are multiplied by a power of two likewise, and all is done once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leakysm.backends.checks import check_batch, check_block
from leakysm.backends.numpy.block.channels import column_sums, estimated_mean, pairwise_sum
from leakysm.backends.numpy.block.patches import Patches, add_products, few_channels
from leakysm.backends.numpy.block.pooling import pool
from leakysm.backends.numpy.block.windows import (
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
from leakysm.backends.numpy.memory import Memory
from leakysm.backends.numpy.products import multiply
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers
from leakysm.ops.arrays import quiet
from leakysm.ops.batch_norm import EPS

PIECE = 2304  # rows of pooled values that are worked on at a time
FAR = 16  # times the variance: the square of the mean that outputs may keep
USUAL = {np.dtype(np.float32): 2.0**80, np.dtype(np.float64): 2.0**800}  # a variance up to here, and down to 1 / here


def _power(x: np.ndarray, w: np.ndarray, eps: float) -> np.ndarray:
    """For each channel, (F,): a power of two that brings outputs below about sqrt(USUAL), and as near to 1 if small."""
    C, F = w.shape[2:]
    exponents = [np.frexp(a)[1] for a in (np.abs(x).max(), np.abs(w).reshape(-1, F).max(axis=0), w.dtype.type(9 * C))]
    size = np.maximum(sum(exponents), math.frexp(math.sqrt(eps))[1] if eps else -9999)
    most, room = (126, 40) if x.dtype == np.float32 else (1022, 400)
    power: np.ndarray = np.ldexp(1.0, np.clip(np.where(size > 0, room - size, -size), -most, most))
    return power


@dataclass(frozen=True)
class Block:
    """What a forward pass leaves for the backward pass. Outputs and pooled values stand by chunk, in window order.

    Outputs are negated where the scale is negative, and less `subtracted`: their true mean is `offset`.
    """

    x: np.ndarray  # (N, H, W, C) contiguous
    w: np.ndarray  # (9 C, F) times `sign`
    sign: np.ndarray  # (F,) 1, or -1 where the scale is negative, times a power of two
    gain: np.ndarray  # (F,) |scale|, float64
    subtracted: np.ndarray  # (F,) from the outputs that are kept: an estimate of their mean
    offset: np.ndarray  # (F,) what is left of the mean, float64
    inverse: np.ndarray  # (F,) 1 / sigma, float64
    outputs: np.ndarray | None  # (N H W, F); None for few channels, where they cost less to compute than to keep
    patches: Patches | None  # the im2col matrix and its moments, kept in place of the outputs
    largest: np.ndarray | None  # (N h w, F); None as outputs
    choice: np.ndarray  # (3, N h w, F) bool
    positive: np.ndarray  # (N h w, F) bool: y > 0
    tasks: tuple[Task, ...]

    @cached_property
    def constant(self) -> np.ndarray:
        """The channels with scale 0: every normalised value is the shift."""
        return np.flatnonzero(self.gain == 0)

    def outputs_of(self, chunk: Chunk, scratch: Scratch) -> np.ndarray:
        """The chunk's outputs, (m, F): kept, or computed from its patches."""
        if self.outputs is not None:
            return self.outputs[chunk.outputs]
        assert self.patches is not None
        columns = self.patches.of(chunk)
        rows = scratch("outputs", (columns.shape[1], self.w.shape[1]), self.w.dtype)
        multiply(columns.T, self.w, out=rows)
        return rows


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
        pooled, thin = (N * (H // 2) * (W // 2), F), few_channels(x)
        block = Block(
            x,
            w=(w * sign).reshape(9 * C, F),
            sign=sign,
            gain=np.abs(scale.astype(np.float64)),
            subtracted=np.zeros_like(scale),
            offset=np.zeros(F),
            inverse=np.empty(F),
            outputs=None if thin else self._memory((N * H * W, F), dtype),
            patches=Patches.none(self._memory((9 * C * N * H * W,), dtype), 9 * C) if thin else None,
            largest=None if thin else self._memory(pooled, dtype),
            choice=self._memory((3, *pooled), bool),
            positive=self._memory(pooled, bool),
            tasks=plan(N, H, W, rows_of_chunk(9 * C + F, dtype, N * H * W, few=thin)),
        )
        variance, power = self._variance(block), np.ones(F)
        unusual = ~((variance + eps < USUAL[dtype]) & (variance + eps > 1 / USUAL[dtype]))
        if unusual.any():
            power = np.where(unusual, _power(x, w, eps), 1)
            np.multiply(block.w, power, out=block.w, casting="same_kind")
            np.multiply(block.sign, power, out=block.sign, casting="same_kind")
            variance = self._variance(block)
        np.divide(1, np.sqrt(variance + eps * power * power), out=block.inverse)
        y = self._memory(pooled, dtype)
        self._normalise_all(block, _Normalise(block, shift, y))
        mean = ((block.subtracted + block.offset) / block.sign).astype(dtype)
        return (y.reshape(N, H // 2, W // 2, F), mean, (variance / power / power).astype(dtype)), block

    def _variance(self, block: Block) -> np.ndarray:
        return self._moments(block) if block.patches is None else self._moments_of_patches(block, block.patches)

    def _moments(self, block: Block) -> np.ndarray:
        """Fill outputs, largest and choice, subtracted and offset; return the variance (F,) in float64."""
        block.subtracted[...] = estimated_mean(block.x, block.w)
        for last in (False, True):
            sums = pairwise_sum(self._workers.map(self._convolve(block), block.tasks))
            mean, square = sums / np.prod(block.x.shape[:3])
            variance: np.ndarray = np.maximum(square - mean * mean, 0)
            if last or not (mean * mean > FAR * variance).any():
                break
            block.subtracted[...] += mean.astype(block.w.dtype)
        block.offset[...] = mean
        return variance

    def _convolve(self, block: Block) -> Callable[[Task], np.ndarray]:
        """What fills a task's outputs, largest and choice, and returns sums of outputs and of squares, (2, F)."""
        outputs, largest = block.outputs, block.largest
        assert outputs is not None
        assert largest is not None

        def convolve(task: Task) -> np.ndarray:
            windows = windows_of(padded_images(block.x, task, self._scratch))
            sums = np.zeros((2, outputs.shape[1]))
            for chunk in task:
                rows = outputs[chunk.outputs]
                multiply(columns_of(windows, chunk, self._scratch), block.w, out=rows)
                rows -= block.subtracted
                self._pool(block, chunk, rows, largest[chunk.pooled])
                squares = self._scratch("squares", rows.shape, rows.dtype)
                np.multiply(rows, rows, out=squares)
                sums += column_sums(rows, squares)
            return sums

        return convolve

    def _moments_of_patches(self, block: Block, patches: Patches) -> np.ndarray:
        """The same from the inputs alone: mean and variance follow from the moments of the im2col matrix."""

        def add_up(task: Task) -> np.ndarray:
            padded, products = padded_images(block.x, task, self._scratch), patches.empty()
            for chunk in task:
                columns_by_tap(padded, chunk, patches.of(chunk))
                add_products(products, patches.of(chunk), self._scratch)
            return products

        patches.set(self._workers.map(add_up, block.tasks), math.prod(block.x.shape[:3]))
        block.offset[...] = patches.mean(block.w)
        return patches.variance(block.w)

    def _normalise_all(self, block: Block, normalise: _Normalise) -> None:
        """Fill y and positive; for few channels also convolve, and fill choice, on the way."""

        def convolve(task: Task) -> None:
            for chunk in task:
                rows = block.outputs_of(chunk, self._scratch)
                largest = self._scratch("largest", (chunk.corners, rows.shape[1]), rows.dtype)
                self._pool(block, chunk, rows, largest)
                normalise(largest, chunk.pooled)

        if block.largest is None:
            self._workers.map(convolve, block.tasks)
        else:
            largest = block.largest
            runs = [slice(*run) for run in cut(len(largest), PIECE)]
            self._workers.map(lambda run: normalise(largest[run], run), runs)

    def _pool(self, block: Block, chunk: Chunk, rows: np.ndarray, largest: np.ndarray) -> None:
        corners = rows[: 4 * chunk.corners].reshape(4, chunk.corners, rows.shape[1])
        choice = block.choice[:, chunk.pooled]
        pool(corners, largest, choice, self._scratch)
        if block.constant.size:  # there the first position is the maximum
            largest[:, block.constant], choice[:, :, block.constant] = corners[0][:, block.constant], False


class _Normalise:
    """Of a range of pooled values: y = relu(|scale| / sigma (largest - offset) + shift), and where it is positive."""

    def __init__(self, block: Block, shift: np.ndarray, y: np.ndarray) -> None:
        factor = block.gain * block.inverse
        self._factor = factor.astype(y.dtype)
        self._shift = (shift - factor * block.offset).astype(y.dtype)
        self._zero = np.zeros_like(shift)
        self._y, self._positive = y, block.positive

    def __call__(self, largest: np.ndarray, place: slice) -> None:
        y = self._y[place]
        np.multiply(largest, self._factor, out=y)
        y += self._shift
        np.greater(y, 0, out=self._positive[place])
        np.maximum(y, self._zero, out=y)  # with a scalar it takes half as long again
