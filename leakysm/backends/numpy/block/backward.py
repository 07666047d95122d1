"""The backward pass of a block. With g = dy where y > 0, routed to the chosen corners, and per-channel constants,

    d(output) = k (g + a output + b)        k = |scale| / sigma    a = -dscale / (n sigma)    b = -dshift / n - a offset

where dshift = sum g, dscale = sum g (maximum - offset) / sigma, and offset is the mean that outputs were left
with. The factor k is left to the weights.
Source of the batch norm gradient: Ioffe & Szegedy (2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakysm.backends.checks import check_cotangent
from leakysm.backends.numpy.block.channels import halved_sums, pairwise_sum
from leakysm.backends.numpy.block.forward import PIECE, Block
from leakysm.backends.numpy.block.patches import Patches
from leakysm.backends.numpy.block.pooling import unpool
from leakysm.backends.numpy.block.windows import (
    Chunk,
    Task,
    columns_of,
    cut,
    in_window_order,
    padded_images,
    windows_of,
)
from leakysm.backends.numpy.memory import Memory
from leakysm.backends.numpy.products import TransposedProduct, multiply
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers, in_groups
from leakysm.ops.arrays import quiet

Gradients = tuple[np.ndarray | None, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Sums:
    """What batch norm needs of a cotangent, in float64; dscale is that of the outputs as they are kept."""

    dscale: np.ndarray  # (F,), as all
    dshift: np.ndarray
    a: np.ndarray  # -dscale / (n sigma)
    b: np.ndarray  # -dshift / n, for outputs whose mean is truly 0

    @classmethod
    def of(cls, block: Block, g: np.ndarray, weighted: np.ndarray) -> Sums:
        """From the sums of g, and of g times the outputs as they are kept at the chosen corners."""
        n, dscale = math.prod(block.x.shape[:3]), (weighted - block.offset * g) * block.inverse
        return cls(dscale, g, -dscale * block.inverse / n, -g / n)


@dataclass(frozen=True)
class Incoming:
    """The cotangent at the pooled values, and the constants of d(output)."""

    g: np.ndarray  # (N h w, F) dy where y > 0, else 0
    a: np.ndarray  # (F,)
    b: np.ndarray

    @classmethod
    def of(cls, block: Block, g: np.ndarray, sums: Sums) -> Incoming:
        """With the constant b for outputs as they are kept."""
        b = sums.b - sums.a * block.offset
        return cls(g, sums.a.astype(g.dtype), b.astype(g.dtype))


class Backward:
    """The backward pass on a set of threads."""

    def __init__(self, workers: Workers, memory: Memory) -> None:
        self._workers, self._memory = workers, memory
        self._scratch = Scratch()

    @quiet
    def __call__(self, block: Block, dy: np.ndarray, *, needs_dx: bool = True) -> Gradients:
        """dy (N, H // 2, W // 2, F) -> dx (None if not needed), dw, dscale, dshift."""
        (N, H, W, C), F = block.x.shape, block.w.shape[1]
        check_cotangent(dy, block.x, (N, H // 2, W // 2, F))
        rows, k = np.ascontiguousarray(dy).reshape(-1, F), block.gain * block.inverse
        dx = None
        if block.patches is None:
            g, sums = self._mask(block, rows)
            incoming = Incoming.of(block, g, sums)
            dx, dw = self._both(block, incoming, k) if needs_dx else (None, self._weights(block, incoming))
        else:
            at_corners, sums = self._weights_at_corners(block, block.patches, rows)
            dw = at_corners + block.patches.everywhere(block.w, sums.a, sums.b)
            if needs_dx:
                dx, _ = self._both(block, Incoming.of(block, rows * block.positive, sums), k)
        dw = (dw * (k * block.sign)).astype(dy.dtype)
        dscale = np.sign(block.sign) * sums.dscale
        return dx, dw.reshape(3, 3, C, F), dscale.astype(dy.dtype), sums.dshift.astype(dy.dtype)

    def _mask(self, block: Block, dy: np.ndarray) -> tuple[np.ndarray, Sums]:
        """g (N h w, F), and the sums."""
        g, largest = self._memory(dy.shape, dy.dtype), block.largest
        assert largest is not None

        def mask(run: slice) -> np.ndarray:
            weighted = self._scratch("weighted", dy[run].shape, dy.dtype)
            np.multiply(dy[run], block.positive[run], out=g[run])
            np.multiply(g[run], largest[run], out=weighted)
            return halved_sums(g[run], weighted)

        sums = pairwise_sum(self._workers.map(mask, [slice(*run) for run in cut(len(g), PIECE)]))
        return g, Sums.of(block, *sums)

    def _gradient(self, block: Block, incoming: Incoming, chunk: Chunk) -> np.ndarray:
        """The chunk's d(output) / k, (m, F) in window order."""
        outputs = block.outputs_of(chunk, self._scratch)
        dense, F = self._scratch("dense", outputs.shape, outputs.dtype), outputs.shape[1]
        np.multiply(outputs, incoming.a, out=dense)
        dense += incoming.b
        routed = self._scratch("routed", (4, chunk.corners, F), outputs.dtype)
        unpool(incoming.g[chunk.pooled], block.choice[:, chunk.pooled], routed)
        corners = dense[: 4 * chunk.corners].reshape(routed.shape)
        np.add(corners, routed, out=corners)
        return dense

    def _weights(self, block: Block, incoming: Incoming) -> np.ndarray:
        """dw / k (9 C, F) = im2col(x)^T d(output) / k."""

        def add_up(group: Sequence[Task]) -> np.ndarray:
            dw = TransposedProduct(block.w.shape[1], block.w.shape[0], block.w.dtype)
            for task in group:
                padded = padded_images(block.x, task, self._scratch)
                for chunk in task:
                    gradient = self._gradient(block, incoming, chunk)
                    dw.add(gradient, columns_of(windows_of(padded), chunk, self._scratch))
            return dw.value().T

        return pairwise_sum(self._workers.map(add_up, in_groups(block.tasks)))

    def _weights_at_corners(self, block: Block, patches: Patches, dy: np.ndarray) -> tuple[np.ndarray, Sums]:
        """The part of dw / k that g has, (9 C, F), in one pass; the rest follows from the patches' moments.

        So does the sum of g times the outputs x w at the chosen corners: it is sum w x^T g.
        """
        taps, F = block.w.shape

        def add_up(group: Sequence[Task]) -> tuple[np.ndarray, np.ndarray]:
            dw, sums = TransposedProduct(taps, F, dy.dtype), np.zeros(F)
            for task in group:
                for chunk in task:
                    g = self._scratch("g", (chunk.corners, F), dy.dtype)
                    np.multiply(dy[chunk.pooled], block.positive[chunk.pooled], out=g)
                    sums += halved_sums(g)[0]
                    routed = self._scratch("routed", (4, chunk.corners, F), dy.dtype)
                    unpool(g, block.choice[:, chunk.pooled], routed)
                    dw.add(patches.of(chunk)[:, : 4 * chunk.corners].T, routed.reshape(-1, F))
            return dw.value(), sums

        parts, sums = zip(*self._workers.map(add_up, in_groups(block.tasks)), strict=True)
        at_corners = pairwise_sum(list(parts))
        weighted = np.sum(at_corners.astype(np.float64) * block.w, axis=0)
        return at_corners, Sums.of(block, pairwise_sum(list(sums)), weighted)

    def _both(self, block: Block, incoming: Incoming, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """dx (N, H, W, C) and dw / k (9 C, F), both from im2col(d): one gather instead of a gather and a scatter.

        dx = im2col(d) flipped(k w)^T,  dw^T = x^T im2col(d), flipped: the kernel's tap (i, j) is (2 - i, 2 - j) from x.
        """
        x, C, F = block.x, block.x.shape[3], block.w.shape[1]
        scaled = (block.w * k).astype(x.dtype).reshape(9, C, F)
        flipped = scaled[::-1].transpose(0, 2, 1).reshape(9 * F, C)
        dx = self._memory(x.shape, x.dtype)

        def add_up(group: Sequence[Task]) -> np.ndarray:
            dw = TransposedProduct(C, 9 * F, x.dtype)
            for task in group:
                windows = windows_of(self._padded_gradient(block, incoming, task))
                for chunk in task:
                    at, m = (chunk.images, chunk.rows), chunk.outputs.stop - chunk.outputs.start
                    columns = self._scratch("columns", (m, 9 * F), x.dtype)
                    taken = windows[:, chunk.rows]
                    columns.reshape(taken.shape)[...] = taken
                    multiply(columns, flipped, out=dx[at].reshape(m, C))
                    dw.add(x[at].reshape(m, C), columns)
            return dw.value()

        dw = pairwise_sum(self._workers.map(add_up, in_groups(block.tasks)))
        return dx, dw.reshape(C, 9, F)[:, ::-1].transpose(1, 0, 2).reshape(9 * C, F)

    def _padded_gradient(self, block: Block, incoming: Incoming, task: Task) -> np.ndarray:
        """d(output) / k of the task's images with a border of zeros, (n, H + 2, W + 2, F)."""
        H, W = block.x.shape[1:3]
        padded = self._scratch.padded("gradient", (task[0].n, H, W, incoming.g.shape[1]), incoming.g.dtype)
        inside = padded[:, 1:-1, 1:-1]
        for chunk in task:
            gradient = self._gradient(block, incoming, chunk)
            for rows, part in in_window_order(inside[:, chunk.rows]):
                part[...] = gradient[rows].reshape(part.shape)
        return padded
