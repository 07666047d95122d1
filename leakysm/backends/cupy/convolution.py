"""Convolution and its gradients by our own kernels (convolution.cu): implicit matrix products, no atomics."""

from __future__ import annotations

from typing import Any, NamedTuple

from leakysm.backends.cupy.kernels import Kernels
from leakysm.ops.arrays import Array

COLUMNS = 64  # output channels of a tile, as in gemm.cuh
LARGE_ROWS, SMALL_ROWS = 128, 32  # pixels of a tile
ENOUGH_TILES = 256  # as many large tiles keep a large GPU busy; below, small tiles do it better
SLICES, SHORTEST = 176, 128  # a weight gradient's sum over pixels: at most so many slices, of at least so many pixels


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


class Statistics(NamedTuple):
    """Every tile's mean and squared deviations of each channel, (F, tiles), and how many pixels a tile has."""

    mean: Array
    square: Array
    rows: int


def convolve(kernels: Kernels, x: Array, w: Array, *, statistics: bool = False) -> tuple[Array, Statistics | None]:
    """x (N, H, W, C), w (3, 3, C, F), both contiguous -> y (N, H, W, F); with the tiles' statistics if asked for."""
    N, H, W, C = x.shape
    F = w.shape[3]
    xp, pixels, c = kernels.xp, N * H * W, kernels.c_type(x)
    y = xp.empty((N, H, W, F), x.dtype)
    va, vb = kernels.width(x), kernels.width(w, y)
    large = c == "float" and ceil_div(pixels, LARGE_ROWS) >= ENOUGH_TILES
    rows = LARGE_ROWS if large else SMALL_ROWS
    tiles = ceil_div(pixels, rows)
    found = None
    if statistics:
        found = Statistics(xp.empty((F, tiles), x.dtype), xp.empty((F, tiles), x.dtype), rows)
    if c == "double" or vb == 1:
        va = vb = 1
    kernels.launch(
        f"convolve<{c}, {rows}, {va}, {vb}, {products(kernels, c, splits=va > 1)}>",
        (tiles, ceil_div(F, COLUMNS)), 128,
        x, w, y, found and found.mean, found and found.square, N, H, W, C, F,
    )  # fmt: skip
    return y, found


def turn(kernels: Kernels, w: Array) -> Array:
    """The kernel turned by 180 degrees, its channels exchanged: (3, 3, C, F) -> (3, 3, F, C)."""
    C, F = w.shape[2:]
    turned = kernels.xp.empty((3, 3, F, C), w.dtype)
    kernels.launch(f"turn_kernel<{kernels.c_type(w)}>", (ceil_div(w.size, 256),), 256, w, turned, C, F)
    return turned


def image_gradient(kernels: Kernels, turned: Array, dy: Array) -> Array:
    """dx (N, H, W, C): the convolution of dy (N, H, W, F) with the turned kernel."""
    return convolve(kernels, dy, turned)[0]


class Slices(NamedTuple):
    """A weight gradient's sum over pixels, cut into `number` slices of `length` pixels: partial (number, 9 C, F)."""

    partial: Array
    length: int
    number: int

    @classmethod
    def of(cls, kernels: Kernels, pixels: int, C: int, F: int, dtype: Any) -> Slices:
        length = max(SHORTEST, ceil_div(ceil_div(pixels, SLICES), 16) * 16)
        number = ceil_div(pixels, length)
        return cls(kernels.xp.empty((number, 9 * C, F), dtype), length, number)

    def add_up(self, kernels: Kernels, dw: Array) -> None:
        """The sum of the slices, in order, into dw."""
        name = f"sum_slices<{kernels.c_type(dw)}>"
        kernels.launch(name, (ceil_div(dw.size, 256),), 256, self.partial, dw, dw.size, self.number)


def weight_gradient(kernels: Kernels, x: Array, dz: Array, dw: Array) -> None:
    """Into dw (3, 3, C, F), from x (N, H, W, C) and dz (N, H, W, F): sums over slices of pixels, added in order."""
    N, H, W, C = x.shape
    F, c = dz.shape[3], kernels.c_type(x)
    slices = Slices.of(kernels, N * H * W, C, F, x.dtype)
    rows, threads, va, vb = 32, 128, 1, 1
    if c == "float" and (vb := kernels.width(dz, dw)) > 1 and kernels.width(x) > 1:
        rows, threads, va = 96, 96, 4
    kernels.launch(
        f"weight_gradient<{c}, {rows}, {threads}, {va}, {vb}, {products(kernels, c, splits=va > 1 < slices.number)}>",
        (ceil_div(9 * C, rows), ceil_div(F, COLUMNS), slices.number), threads,
        x, dz, slices.partial, N, H, W, C, F, slices.length,
    )  # fmt: skip
    slices.add_up(kernels, dw)


def products(kernels: Kernels, c: str, *, splits: bool = False) -> str:
    """The last argument of a product's template. splits: whether there is such a kernel with split factors, and the sum
    has 9 terms or more: the bound of fewer leaves no room for that."""
    return "ORDINARY" if c == "double" or (kernels.products == "SPLIT" and not splits) else kernels.products


def contiguous(xp: Any, *arrays: Array) -> list[Array]:
    """The arrays as the kernels read them: C order, copied only if need be."""
    return [xp.ascontiguousarray(a) for a in arrays]
