"""The two passes over a chunk by Winograd's convolution: outputs from x and w, dx and dw from the outputs' gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from leakysm.backends.numpy.arrays import Doubles, Floats
from leakysm.backends.numpy.block.chunks import Chunk, Task
from leakysm.backends.numpy.block.winograd.transforms import (
    Grid,
    add_input_row,
    add_output_row,
    from_window_order,
    gradient_planes,
    input_planes,
    kernels_of,
    pixels_of,
    taps_of,
    to_window_order,
    with_signs,
)
from leakysm.backends.numpy.memory import aligned_copy
from leakysm.backends.numpy.products import LONGEST, SMALL, multiply
from leakysm.backends.numpy.runs import cut
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.sums import RunningSum


def convolve(x: Floats, kernels: Floats, chunk: Chunk, rows: Floats, scratch: Scratch) -> None:
    """Fill a chunk's outputs, rows (m, F) in window order. x (N, H, W, C), kernels (4, 4, C, F) of `kernels_of`."""
    grid, F = Grid.of(chunk, x.shape[2]), rows.shape[1]
    shape = (4, grid.size, F)
    corners = scratch("corners", shape, x.dtype) if grid.hangs_over else rows.reshape(shape)
    products = scratch("products", shape, x.dtype)
    for i, planes in enumerate(input_planes(x, chunk, scratch)):
        _multiply(planes, kernels[i], products)
        add_output_row(i, products, corners, scratch)
    if grid.hangs_over:
        to_window_order(corners, grid, rows, scratch)


def _multiply(a: Floats, b: Floats, out: Floats) -> None:
    """out = a b, plane by plane. a (4, m, k), b (4, k, n), out (4, m, n)."""
    if a[0].size * b.shape[2] <= SMALL:  # a product that BLAS makes without copying
        np.matmul(a, b, out=out)
        return
    for left, right, product in zip(a, b, out, strict=True):
        multiply(left, right, product)


class TileGradients:
    """dx and dw of groups of tasks. gradient_of(chunk): the gradient at its outputs, (m, F) in window order."""

    def __init__(
        self,
        x: Floats,
        w: Floats | Doubles,
        dx: Floats | None,
        gradient_of: Callable[[Chunk], Floats],
        scratch: Scratch,
    ) -> None:
        """x (N, H, W, C), w (9 C, F); dx like x is to be filled, if it is wanted."""
        self._x, self._dx, self._gradient_of, self._scratch = x, dx, gradient_of, scratch
        self._turned = aligned_copy(with_signs(kernels_of(w)).transpose(0, 1, 3, 2))

    def add_up(self, group: Sequence[Task]) -> Floats:
        """Fill dx of the tasks' images; the sum of V E over their tiles, (4, 4, C, F), for `taps_of`."""
        F, C = self._turned.shape[2:]
        sums = RunningSum((1, 4, 4, C, F), self._x.dtype)
        for task in group:
            images, (_, H, W, _) = task[0].images, self._x.shape
            shape = (2, 2, task[0].n, -(-H // 2) + 1, -(-W // 2), C)
            by_parity = self._scratch("gradient by parity", shape, self._x.dtype)
            by_parity[...] = 0
            for chunk in task:
                first = chunk.rows.start // 2
                grid = Grid.of(chunk, W)
                self._add_chunk(chunk, grid, by_parity[:, :, :, first : first + grid.h + 1], sums)
            if self._dx is not None:
                pixels_of(by_parity, self._dx[images])
        total: Floats = sums.value()[0]
        return total

    def _add_chunk(self, chunk: Chunk, grid: Grid, by_parity: Floats, sums: RunningSum) -> None:
        C = self._x.shape[3]
        corners = from_window_order(self._gradient_of(chunk), grid, self._scratch)
        runs = cut(grid.size, LONGEST)
        parts = [sums.room() for _ in runs]
        products = self._scratch("products", (4, grid.size, C), self._x.dtype)
        both = zip(input_planes(self._x, chunk, self._scratch), gradient_planes(corners, self._scratch), strict=True)
        for i, (planes, gradient) in enumerate(both):
            for run, part in zip(runs, parts, strict=True):
                np.matmul(planes[:, run].transpose(0, 2, 1), gradient[:, run], out=part[0, i])
            if self._dx is not None:
                _multiply(gradient, self._turned[i], products)
                add_input_row(i, products.reshape(4, *grid[:3], C), by_parity, self._scratch)
        for part in parts:
            sums.add(part)


def weights_of(total: Floats) -> Doubles:
    """dw (9 C, F) from the sum of what `TileGradients.add_up` returned, which it writes over."""
    return taps_of(with_signs(total))
