"""The backward pass of a block. With g = dy where y > 0, routed to the chosen corners, and per-channel constants,

    d(output) = k (g + a output + b)        k = |scale| / sigma    a = -dscale / (n sigma)    b = -dshift / n - a offset

where output is centred, dshift = sum g, dscale = sum g (maximum - offset) / sigma. The factor k is left to the weights.
Source of the batch norm gradient: Ioffe & Szegedy (2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakysm.backends.cupy.checks import check_cotangent
from leakysm.backends.numpy.channels import PerChannel, run_sums, total
from leakysm.backends.numpy.conv_block import PIECE, Block
from leakysm.backends.numpy.pooling import unpool
from leakysm.backends.numpy.scratch import Scratch, aligned
from leakysm.backends.numpy.threads import Workers, in_groups
from leakysm.backends.numpy.windows import (
    Chunk,
    Task,
    columns_by_tap,
    columns_of,
    cut,
    in_window_order,
    padded_images,
    windows_of,
)
from leakysm.ops.arrays import quiet

Gradients = tuple[np.ndarray | None, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Incoming:
    """The cotangent at the pooled values, and the constants of d(output)."""

    g: np.ndarray  # (N h w, F) dy where y > 0, else 0
    a: PerChannel
    b: PerChannel


class Backward:
    """The backward pass on a set of threads."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._scratch = Scratch()

    @quiet
    def __call__(self, block: Block, dy: np.ndarray, *, needs_dx: bool = True) -> Gradients:
        """dy (N, H // 2, W // 2, F) -> dx (None if not needed), dw, dscale, dshift."""
        (N, H, W, C), F = block.x.shape, block.w.shape[1]
        check_cotangent(dy, block.x, (N, H // 2, W // 2, F))
        g, dscale, dshift = self._through_relu(block, np.ascontiguousarray(dy).reshape(-1, F))
        n, k = N * H * W, block.gain * block.inverse
        a, mean = -dscale * block.inverse / n, -dshift / n
        if needs_dx or block.patches is None:
            b = mean - a * block.offset
            incoming = Incoming(g, PerChannel(a.astype(g.dtype)), PerChannel(b.astype(g.dtype)))
            dx, dw = self._both(block, incoming, k) if needs_dx else (None, self._weights(block, incoming))
        else:
            dx, dw = None, self._weights_at_corners(block, g) + block.patches.everywhere(block.w, a, mean)
        dw = (dw * (k * block.sign)).astype(dy.dtype)
        return dx, dw.reshape(3, 3, C, F), (block.sign * dscale).astype(dy.dtype), dshift.astype(dy.dtype)

    def _through_relu(self, block: Block, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """g, and dscale (of outputs as they are kept) and dshift, (F,) in float64."""
        g = aligned(dy.shape, dy.dtype)

        def mask(run: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
            part, weighted = g[slice(*run)], self._scratch("weighted", (run[1] - run[0], dy.shape[1]), dy.dtype)
            np.multiply(dy[slice(*run)], block.positive[slice(*run)], out=part)
            np.multiply(part, block.largest[slice(*run)], out=weighted)
            return run_sums(part), run_sums(weighted)

        sums, weighted = zip(*self._workers.map(mask, cut(len(g), PIECE)), strict=True)
        dshift = total(sums)
        return g, (total(weighted) - block.offset * dshift) * block.inverse, dshift

    def _outputs(self, block: Block, chunk: Chunk, padded: np.ndarray) -> np.ndarray:
        """The chunk's centred outputs, (m, F): kept, or computed again."""
        if block.outputs is not None:
            return block.outputs[chunk.outputs]
        columns = columns_by_tap(padded, chunk, self._scratch)
        rows = self._scratch("outputs", (columns.shape[1], block.w.shape[1]), block.w.dtype)
        np.matmul(columns.T, block.w, out=rows)
        rows -= block.mean
        return rows

    def _gradient(self, block: Block, incoming: Incoming, chunk: Chunk, outputs: np.ndarray) -> np.ndarray:
        """The chunk's d(output) / k, (m, F) in window order."""
        dense, F = self._scratch("dense", outputs.shape, outputs.dtype), outputs.shape[1]
        incoming.a.apply(np.multiply, outputs, dense)
        incoming.b.apply(np.add, dense, dense)
        routed = self._scratch("routed", (4, chunk.corners, F), outputs.dtype)
        unpool(incoming.g[chunk.pooled], block.choice[:, chunk.pooled], routed)
        corners = dense[: 4 * chunk.corners].reshape(routed.shape)
        np.add(corners, routed, out=corners)
        return dense

    def _weights(self, block: Block, incoming: Incoming) -> np.ndarray:
        """dw / k (9 C, F) = im2col(x)^T d(output) / k."""

        def add_up(group: Sequence[Task]) -> np.ndarray:
            dw, part = np.zeros_like(block.w), self._scratch("part", block.w.shape, block.w.dtype)
            for task in group:
                padded = padded_images(block.x, task, self._scratch)
                for chunk in task:
                    gradient = self._gradient(block, incoming, chunk, self._outputs(block, chunk, padded))
                    columns = columns_of(windows_of(padded), chunk, self._scratch)
                    dw += np.matmul(columns.T, gradient, out=part)
            return dw

        return sum(self._workers.map(add_up, in_groups(block.tasks)), start=np.zeros_like(block.w))

    def _weights_at_corners(self, block: Block, g: np.ndarray) -> np.ndarray:
        """The part of dw / k that g has, (9 C, F); the rest follows from the patches' moments."""

        def add_up(group: Sequence[Task]) -> np.ndarray:
            dw, part = np.zeros_like(block.w), self._scratch("part", block.w.shape, block.w.dtype)
            for task in group:
                padded = padded_images(block.x, task, self._scratch)
                for chunk in task:
                    columns = columns_by_tap(padded, chunk, self._scratch)[:, : 4 * chunk.corners]
                    routed = self._scratch("routed", (4, chunk.corners, g.shape[1]), g.dtype)
                    unpool(g[chunk.pooled], block.choice[:, chunk.pooled], routed)
                    dw += np.matmul(columns, routed.reshape(-1, g.shape[1]), out=part)
            return dw

        return sum(self._workers.map(add_up, in_groups(block.tasks)), start=np.zeros_like(block.w))

    def _both(self, block: Block, incoming: Incoming, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """dx (N, H, W, C) and dw / k (9 C, F), both from im2col(d): one gather instead of a gather and a scatter.

        dx = im2col(d) flipped(k w)^T,  dw^T = x^T im2col(d), flipped: the kernel's tap (i, j) is (2 - i, 2 - j) from x.
        """
        x, C, F = block.x, block.x.shape[3], block.w.shape[1]
        scaled = (block.w * k).astype(x.dtype).reshape(9, C, F)
        flipped = scaled[::-1].transpose(0, 2, 1).reshape(9 * F, C)
        dx = aligned(x.shape, x.dtype)

        def add_up(group: Sequence[Task]) -> np.ndarray:
            dw, part = np.zeros((C, 9 * F), x.dtype), self._scratch("part", (C, 9 * F), x.dtype)
            for task in group:
                windows = windows_of(self._padded_gradient(block, incoming, task))
                for chunk in task:
                    at, m = (chunk.images, chunk.rows), chunk.outputs.stop - chunk.outputs.start
                    columns = self._scratch("columns", (m, 9 * F), x.dtype)
                    taken = windows[:, chunk.rows]
                    columns.reshape(taken.shape)[...] = taken
                    np.matmul(columns, flipped, out=dx[at].reshape(m, C))
                    dw += np.matmul(x[at].reshape(m, C).T, columns, out=part)
            return dw

        dw = sum(self._workers.map(add_up, in_groups(block.tasks)), start=np.zeros((C, 9 * F), x.dtype))
        return dx, dw.reshape(C, 9, F)[:, ::-1].transpose(1, 0, 2).reshape(9 * C, F)

    def _padded_gradient(self, block: Block, incoming: Incoming, task: Task) -> np.ndarray:
        """d(output) / k of the task's images with a border of zeros, (n, H + 2, W + 2, F)."""
        H, W = block.x.shape[1:3]
        images = padded_images(block.x, task, self._scratch) if block.outputs is None else block.x
        padded = self._scratch.padded("gradient", (task[0].n, H, W, incoming.g.shape[1]), incoming.g.dtype)
        inside = padded[:, 1:-1, 1:-1]
        for chunk in task:
            gradient = self._gradient(block, incoming, chunk, self._outputs(block, chunk, images))
            for rows, part in in_window_order(inside[:, chunk.rows]):
                part[...] = gradient[rows].reshape(part.shape)
        return padded
