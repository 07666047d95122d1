"""The backward pass of a block. With o' the outputs as they are kept, and g = dy where y > 0, at the chosen corners,

    d = do / k = g + a o' + b       k = gain / sigma       a = -dscale / (n sigma)       b = -dshift / n - a offset

where dshift = sum g and dscale = sum g (o' - offset) / sigma; the folder's docstring derives this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakysm.backends.checks import check_cotangent
from leakysm.backends.numpy.arrays import Doubles, Floats
from leakysm.backends.numpy.block.channels import halved_sums
from leakysm.backends.numpy.block.chunks import Chunk, Task, Tiling
from leakysm.backends.numpy.block.patches import Patches
from leakysm.backends.numpy.block.pooling import unpool
from leakysm.backends.numpy.block.saved import Block, Outputs
from leakysm.backends.numpy.block.windows import columns_of, in_window_order, padded_images, windows_of
from leakysm.backends.numpy.memory import Memory, aligned_copy
from leakysm.backends.numpy.products import TransposedProduct, multiply
from leakysm.backends.numpy.runs import cut
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.sums import pairwise_sum
from leakysm.backends.numpy.threads import Workers, in_groups
from leakysm.ops.arrays import quiet

Gradients = tuple[Floats | None, Floats, Floats, Floats]  # dx, dw, dscale, dshift


@dataclass(frozen=True)
class NormGradient:
    """Batch norm's part in the gradient, each (F,) in float64. "Outputs" are o', as they are kept."""

    dscale: Doubles  # of outputs negated where the scale is negative
    dshift: Doubles
    a: Doubles  # -dscale / (n sigma)
    b: Doubles  # -dshift / n: the constant b for outputs with their whole mean subtracted

    @classmethod
    def of(cls, block: Block, sum_g: Doubles, sum_g_outputs: Doubles) -> NormGradient:
        """Make it from the sums of g, and of g o'."""
        n = math.prod(block.x.shape[:3])
        dscale = (sum_g_outputs - block.offset * sum_g) * block.inverse
        return cls(dscale, sum_g, -dscale * block.inverse / n, -sum_g / n)


@dataclass(frozen=True)
class OutputGradient:
    """The parts of d = g + a o' + b, in the dtype of the activations."""

    g: Floats  # (N h w, F): dy where y > 0, else 0, for the chosen corners
    a: Floats  # (F,)
    b: Floats

    @classmethod
    def of(cls, block: Block, g: Floats, norm: NormGradient) -> OutputGradient:
        """Make it with the constant b that fits the outputs as they are kept."""
        b = norm.b - norm.a * block.offset
        return cls(g, norm.a.astype(g.dtype), b.astype(g.dtype))


class BackwardPass:
    """The gradients of the operation `conv_block`, on a set of threads."""

    def __init__(self, workers: Workers, memory: Memory, tiling: Tiling) -> None:
        self._workers, self._memory, self._tiling = workers, memory, tiling
        self._scratch = Scratch()

    @quiet
    def run(self, block: Block, dy: Floats, *, needs_dx: bool = True) -> Gradients:
        """dy (N, h, w, F) -> dx (None if not needed), dw, dscale, dshift."""
        (N, H, W, C), F = block.x.shape, block.w.shape[1]
        check_cotangent(dy, block.x, (N, H // 2, W // 2, F))
        rows, k = np.ascontiguousarray(dy).reshape(-1, F), block.gain * block.inverse
        dx: Floats | None = None
        dw: Floats
        if isinstance(block.kept, Patches):
            at_corners, norm = self._weights_at_corners(block, block.kept, rows)
            dw = at_corners + block.kept.everywhere(block.w, norm.a, norm.b)
            if needs_dx:
                dx, _ = self._both(block, OutputGradient.of(block, rows * block.positive, norm), k)
        else:
            g, norm = self._masked(block, block.kept, rows)
            gradient = OutputGradient.of(block, g, norm)
            dx, dw = self._both(block, gradient, k) if needs_dx else (None, self._weights(block, gradient))
        dw = (dw * (k * block.sign)).astype(dy.dtype)
        dscale = np.sign(block.sign) * norm.dscale
        return dx, dw.reshape(3, 3, C, F), dscale.astype(dy.dtype), norm.dshift.astype(dy.dtype)

    def _masked(self, block: Block, kept: Outputs, dy: Floats) -> tuple[Floats, NormGradient]:
        """g (N h w, F), and batch norm's part, by sums over the pooled values. dy (N h w, F)."""
        g = self._memory(dy.shape, dy.dtype)

        def mask(run: slice) -> Doubles:
            g_outputs = self._scratch("weighted", dy[run].shape, dy.dtype)
            np.multiply(dy[run], block.positive[run], out=g[run])
            np.multiply(g[run], kept.largest[run], out=g_outputs)
            return halved_sums(g[run], g_outputs)

        sums = pairwise_sum(self._workers.map(mask, cut(len(g), self._tiling.pooled)))
        return g, NormGradient.of(block, *sums)

    def _weights_at_corners(self, block: Block, patches: Patches, dy: Floats) -> tuple[Floats, NormGradient]:
        """X^T g, (9 C, F), and batch norm's part, in one pass, for few channels. dy (N h w, F).

        The rest of dw / k, X^T (a o' + b), follows from the patches' moments. The sum of g o' follows from X^T g: since
        o' = X w, it is the sum over taps of w X^T g.
        """
        taps, F = block.w.shape

        def add_up(group: Sequence[Task]) -> tuple[Floats, Doubles]:
            dw, sum_g = TransposedProduct(taps, F, dy.dtype), np.zeros(F)
            for task in group:
                for chunk in task:
                    g = self._scratch("g", (chunk.corners, F), dy.dtype)
                    np.multiply(dy[chunk.pooled], block.positive[chunk.pooled], out=g)
                    sum_g += halved_sums(g)[0]
                    routed = self._scratch("routed", (4, chunk.corners, F), dy.dtype)
                    unpool(g, block.choice[:, chunk.pooled], routed)
                    dw.add(patches.of_chunk(chunk)[:, : 4 * chunk.corners].T, routed.reshape(-1, F))
            return dw.value(), sum_g

        parts, sums = zip(*self._workers.map(add_up, in_groups(block.tasks)), strict=True)
        at_corners = pairwise_sum(list(parts))
        sum_g_outputs = np.sum(at_corners.astype(np.float64) * block.w, axis=0)
        return at_corners, NormGradient.of(block, pairwise_sum(list(sums)), sum_g_outputs)

    def _weights(self, block: Block, gradient: OutputGradient) -> Floats:
        """dw / k (9 C, F) = X^T d, where no dx is needed."""

        def add_up(group: Sequence[Task]) -> Floats:
            dw = TransposedProduct(block.w.shape[1], block.w.shape[0], block.w.dtype)
            for task in group:
                windows = windows_of(padded_images(block.x, task, self._scratch))
                for chunk in task:
                    dw.add(self._gradient_of(block, gradient, chunk), columns_of(windows, chunk, self._scratch))
            return dw.value().T

        return pairwise_sum(self._workers.map(add_up, in_groups(block.tasks)))

    def _both(self, block: Block, gradient: OutputGradient, k: Doubles) -> tuple[Floats, Floats]:
        """dx (N, H, W, C) and dw / k (9 C, F) from one im2col, of the gradient d in place of x.

        Number the taps t = 0..8 row by row, p_t the pixel that tap t of an output at p sees. So p sees q by tap t where
        q sees p by tap 8 - t. With D = im2col(d), D[p, t] = d at p_t,

            o at p      = sum over t of w_t^T x at p_t
            dx at p     = sum over t of k w_(8-t) d at p_t     =>  dx = D W,     W[t] = (k w_(8-t))^T
            dw_(8-t) / k = sum over p of x at p d at p_t ^T    =>  dw / k, its taps in reverse order, = x^T D

        D (N H W, 9 F), W (9 F, C), x^T (C, N H W). x is read and dx written in their own order: nothing is scattered.
        """
        x, C, F = block.x, block.x.shape[3], block.w.shape[1]
        scaled = (block.w * k).astype(x.dtype).reshape(9, C, F)
        reversed_taps = aligned_copy(scaled[::-1].transpose(0, 2, 1).reshape(9 * F, C))
        dx = self._memory(x.shape, x.dtype)

        def add_up(group: Sequence[Task]) -> Floats:
            dw = TransposedProduct(C, 9 * F, x.dtype)
            for task in group:
                windows = windows_of(self._padded_gradient(block, gradient, task))
                for chunk in task:
                    here, m = (chunk.images, chunk.rows), chunk.size
                    columns = self._scratch("columns", (m, 9 * F), x.dtype)  # in the order of pixels, as x and dx are
                    taken = windows[:, chunk.rows]
                    columns.reshape(taken.shape)[...] = taken
                    multiply(columns, reversed_taps, out=dx[here].reshape(m, C))
                    dw.add(x[here].reshape(m, C), columns)
            return dw.value()

        by_input = pairwise_sum(self._workers.map(add_up, in_groups(block.tasks)))
        return dx, by_input.reshape(C, 9, F)[:, ::-1].transpose(1, 0, 2).reshape(9 * C, F)

    def _gradient_of(self, block: Block, gradient: OutputGradient, chunk: Chunk) -> Floats:
        """The chunk's d = g + a o' + b, (m, F) in window order."""
        outputs = block.outputs_of(chunk, self._scratch)
        d = self._scratch("dense", outputs.shape, outputs.dtype)
        np.multiply(outputs, gradient.a, out=d)
        d += gradient.b
        routed = self._scratch("routed", (4, chunk.corners, outputs.shape[1]), outputs.dtype)
        unpool(gradient.g[chunk.pooled], block.choice[:, chunk.pooled], routed)
        corners = d[: 4 * chunk.corners].reshape(routed.shape)
        np.add(corners, routed, out=corners)
        return d

    def _padded_gradient(self, block: Block, gradient: OutputGradient, task: Task) -> Floats:
        """d of the task's images, in the order of pixels, with a border of zeros, (n, H + 2, W + 2, F)."""
        H, W = block.x.shape[1:3]
        padded = self._scratch.padded("gradient", (task[0].n, H, W, gradient.g.shape[1]), gradient.g.dtype)
        inside = padded[:, 1:-1, 1:-1]
        for chunk in task:
            d = self._gradient_of(block, gradient, chunk)
            for rows, part in in_window_order(inside[:, chunk.rows]):
                part[...] = d[rows].reshape(part.shape)
        return padded
