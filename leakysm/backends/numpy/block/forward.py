"""The forward pass of a block in training, normalised by the batch's own mean and variance.

With many channels: pass 1 over the chunks convolves, pools, and sums outputs and squares; pass 2 over the pooled values
normalises. With few: pass 1 makes the im2col matrix and its moments; pass 2 convolves, pools and normalises.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from leakysm.backends.checks import check_batch, check_block
from leakysm.backends.numpy.arrays import Doubles, Floats
from leakysm.backends.numpy.block.channels import column_sums, estimated_mean
from leakysm.backends.numpy.block.chunks import Chunk, Task, Tiling
from leakysm.backends.numpy.block.patches import Patches, add_products, few_channels, patches_of
from leakysm.backends.numpy.block.pooling import pool
from leakysm.backends.numpy.block.saved import Block, Outputs
from leakysm.backends.numpy.block.windows import columns_by_tap, columns_of, padded_images, windows_of
from leakysm.backends.numpy.memory import Memory, aligned_copy
from leakysm.backends.numpy.products import multiply
from leakysm.backends.numpy.runs import cut
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.sums import pairwise_sum
from leakysm.backends.numpy.threads import Workers
from leakysm.ops.arrays import quiet
from leakysm.ops.batch_norm import EPS

FAR = 16  # the square of the outputs' remaining mean is at most so many times their variance
ORDINARY = {np.dtype(np.float32): 2.0**80, np.dtype(np.float64): 2.0**800}  # variances up to this, and down to 1 / this

Normalised = tuple[Floats, Floats, Floats]  # y (N, h, w, F), mean and biased variance (F,)


class ForwardPass:
    """The value of the operation `conv_block`, on a set of threads."""

    def __init__(self, workers: Workers, memory: Memory, tiling: Tiling) -> None:
        self._workers, self._memory, self._tiling = workers, memory, tiling
        self._scratch = Scratch()

    @quiet
    def run(self, x: Floats, w: Floats, scale: Floats, shift: Floats, *, eps: float = EPS) -> tuple[Normalised, Block]:
        """x (N, H, W, C), w (3, 3, C, F), scale, shift (F,) -> y (N, h, w, F), mean, biased variance (F,)."""
        check_block(eps, x, w, scale=scale, shift=shift)
        check_batch(x)
        (N, H, W, _), F, dtype = x.shape, w.shape[3], x.dtype
        block = self._new_block(np.ascontiguousarray(x), w, scale)
        variance, power = self._variance(block), np.ones(F)
        unusual = ~((variance + eps < ORDINARY[dtype]) & (variance + eps > 1 / ORDINARY[dtype]))
        if unusual.any():
            power = np.where(unusual, _power(x, w, eps), 1)
            np.multiply(block.w, power, out=block.w, casting="same_kind")
            np.multiply(block.sign, power, out=block.sign, casting="same_kind")
            variance = self._variance(block)
        np.divide(1, np.sqrt(variance + eps * power * power), out=block.inverse)
        y = self._memory(block.positive.shape, dtype)
        self._normalise_all(block, _Normalisation(block, shift, y))
        mean = ((block.subtracted + block.offset) / block.sign).astype(dtype)
        return (y.reshape(N, H // 2, W // 2, F), mean, (variance / power / power).astype(dtype)), block

    def _new_block(self, x: Floats, w: Floats, scale: Floats) -> Block:
        """A block with empty arrays for outputs, and for the patches, if they are kept."""
        (N, H, W, C), F, dtype = x.shape, w.shape[3], x.dtype
        sign, few = np.where(scale < 0, -1, 1).astype(dtype), few_channels(x)
        tasks = self._tiling.plan(x.shape, 9 * C + F, dtype, few=few)
        pooled = (N * (H // 2) * (W // 2), F)
        return Block(
            x,
            w=aligned_copy((w * sign).reshape(9 * C, F)),
            sign=sign,
            gain=np.abs(scale.astype(np.float64)),
            subtracted=np.zeros_like(scale),
            offset=np.zeros(F),
            inverse=np.empty(F),
            kept=self._patches(x, tasks)
            if few
            else Outputs(self._memory((N * H * W, F), dtype), self._memory(pooled, dtype)),
            choice=self._memory((3, *pooled), bool),
            positive=self._memory(pooled, bool),
            tasks=tasks,
        )

    def _patches(self, x: Floats, tasks: tuple[Task, ...]) -> Patches:
        """The im2col matrix and its moments."""
        taps, count = 9 * x.shape[3], math.prod(x.shape[:3])
        columns = self._memory((taps * count,), x.dtype)

        def add_up(task: Task) -> Doubles:
            padded, products = padded_images(x, task, self._scratch), np.zeros((taps, 1 + taps))
            for chunk in task:
                patches = patches_of(columns, taps, chunk)
                columns_by_tap(padded, chunk, patches)
                add_products(products, patches, self._scratch)
            return products

        return Patches.of(columns, count, self._workers.map(add_up, tasks))

    def _variance(self, block: Block) -> Doubles:
        """The outputs' variance (F,). Fills `offset`; if outputs are kept, also these, `subtracted` and `choice`."""
        if isinstance(block.kept, Outputs):
            return self._convolve_all(block, block.kept)
        block.offset[...] = block.kept.mean(block.w)
        return block.kept.variance(block.w)

    def _convolve_all(self, block: Block, kept: Outputs) -> Doubles:
        """Fill outputs, largest, choice, subtracted and offset; return the variance (F,)."""
        block.subtracted[...] = estimated_mean(block.x, block.w)
        for last in (False, True):
            sums = pairwise_sum(self._workers.map(self._convolution(block, kept), block.tasks))
            mean, square = sums / np.prod(block.x.shape[:3])
            variance: Doubles = np.maximum(square - mean * mean, 0)
            if last or not (mean * mean > FAR * variance).any():
                break
            block.subtracted[...] += mean.astype(block.w.dtype)
        block.offset[...] = mean
        return variance

    def _convolution(self, block: Block, kept: Outputs) -> Callable[[Task], Doubles]:
        """What fills a task's outputs, largest and choice, and returns the sums of outputs and of squares, (2, F)."""

        def convolve(task: Task) -> Doubles:
            windows, sums = windows_of(padded_images(block.x, task, self._scratch)), np.zeros((2, block.w.shape[1]))
            for chunk in task:
                rows = kept.outputs[chunk.outputs]
                multiply(columns_of(windows, chunk, self._scratch), block.w, out=rows)
                rows -= block.subtracted
                self._pool(block, chunk, rows, kept.largest[chunk.pooled])
                squares = self._scratch("squares", rows.shape, rows.dtype)
                np.multiply(rows, rows, out=squares)
                sums += column_sums(rows, squares)
            return sums

        return convolve

    def _normalise_all(self, block: Block, normalise: _Normalisation) -> None:
        """Fill y and positive; for few channels also convolve, and fill choice, on the way."""

        def convolve(task: Task) -> None:
            for chunk in task:
                rows = block.outputs_of(chunk, self._scratch)
                largest = self._scratch("largest", (chunk.corners, rows.shape[1]), rows.dtype)
                self._pool(block, chunk, rows, largest)
                normalise(largest, chunk.pooled)

        if isinstance(block.kept, Outputs):
            largest = block.kept.largest
            runs = cut(len(largest), self._tiling.pooled)
            self._workers.map(lambda run: normalise(largest[run], run), runs)
        else:
            self._workers.map(convolve, block.tasks)

    def _pool(self, block: Block, chunk: Chunk, rows: Floats, largest: Floats) -> None:
        corners = rows[: 4 * chunk.corners].reshape(4, chunk.corners, rows.shape[1])
        choice = block.choice[:, chunk.pooled]
        pool(corners, largest, choice, self._scratch)
        if block.constant.size:  # at scale 0 the first position counts as the maximum
            largest[:, block.constant], choice[:, :, block.constant] = corners[0][:, block.constant], False


class _Normalisation:
    """Fills y = relu(gain / sigma (largest - offset) + shift), and `positive`, y > 0, for a range of pooled values.

    In two operations, y = relu(factor largest + constant): factor = gain / sigma, constant = shift - factor offset.
    """

    def __init__(self, block: Block, shift: Floats, y: Floats) -> None:
        factor = block.gain * block.inverse
        self._factor = factor.astype(y.dtype)
        self._constant = (shift - factor * block.offset).astype(y.dtype)
        self._zero = np.zeros_like(shift)
        self._y, self._positive = y, block.positive

    def __call__(self, largest: Floats, place: slice) -> None:
        y = self._y[place]
        np.multiply(largest, self._factor, out=y)
        y += self._constant
        np.greater(y, 0, out=self._positive[place])
        np.maximum(y, self._zero, out=y)  # with a scalar in place of the array it takes 1.5 times as long


def _power(x: Floats, w: Floats, eps: float) -> Doubles:
    """A power of two for each channel, (F,): its weights are multiplied by it, so that its outputs can be squared.

    No output is larger than max |x| max |w| 9 C < 2^size. Large ones are brought below 2^room, the root of ORDINARY,
    small ones to about 1; but not where they are small beside sqrt(eps), which takes part in sigma.
    """
    C, F = w.shape[2:]
    exponents = [np.frexp(a)[1] for a in (np.abs(x).max(), np.abs(w).reshape(-1, F).max(axis=0), w.dtype.type(9 * C))]
    size = np.maximum(sum(exponents), math.frexp(math.sqrt(eps))[1] if eps else -9999)
    most, room = (126, 40) if x.dtype == np.float32 else (1022, 400)
    power: Doubles = np.ldexp(1.0, np.clip(np.where(size > 0, room - size, -size), -most, most))
    return power
