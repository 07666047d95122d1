"""Convolution and its gradients by our own kernels (convolution.cu): implicit matrix products, no atomics.

Arrays are float32, contiguous and aligned; F, the number of filters, is a multiple of PACK.
"""

from __future__ import annotations

from typing import NamedTuple

from leakysm.backends.cupy.kernels import (
    CHAIN,
    COLUMNS,
    DEPTH,
    GROUP,
    LARGE_ROWS,
    NARROW_ROWS,
    PACK,
    SMALL_ROWS,
    THREADS,
    TILE_THREADS,
    VALUES,
    WIDE_ROWS,
    Kernels,
    ceil_div,
    dividers,
)
from leakysm.ops.arrays import Array

LONGEST = 8192  # pixels of a slice: 64 inner sums of CHAIN, so that no sum over pixels is deeper than the bound allows
LONGEST_SPLIT = (
    CHAIN * DEPTH
)  # of split products: each DEPTH pixels are a sum of their own, and CHAIN of those one more


class Statistics(NamedTuple):
    """Every tile's mean and squared deviations of each channel, (F, tiles), and how many pixels a tile has."""

    mean: Array
    square: Array
    rows: int


def convolve(kernels: Kernels, x: Array, w: Array, *, statistics: bool = False) -> tuple[Array, Statistics | None]:
    """x (N, H, W, C), w (3, 3, C, F) -> y (N, H, W, F); with the tiles' statistics if asked for."""
    N, H, W, C = x.shape
    F = w.shape[3]
    xp, pixels = kernels.xp, N * H * W
    y = xp.empty((N, H, W, F), x.dtype)
    rows = LARGE_ROWS if ceil_div(pixels, LARGE_ROWS) >= kernels.tiling.large else SMALL_ROWS
    tiles = ceil_div(pixels, rows)
    tile_statistics = None
    if statistics:
        tile_statistics = Statistics(xp.empty((F, tiles), x.dtype), xp.empty((F, tiles), x.dtype), rows)
    mean, square = tile_statistics[:2] if tile_statistics else (None, None)
    pack = pack_of(C)
    kernels.launch(
        f"convolve<{rows}, {pack}, {products(kernels, splits=pack > 1)}>",
        (tiles, ceil_div(F, COLUMNS)), TILE_THREADS,
        x, w, y, mean, square, N, H, W, C, F, *dividers(H, W, C),
    )  # fmt: skip
    return y, tile_statistics


def turn(kernels: Kernels, w: Array) -> Array:
    """The kernel turned by 180 degrees, its channels exchanged: (3, 3, C, F) -> (3, 3, F, C)."""
    C, F = w.shape[2:]
    turned = kernels.xp.empty((3, 3, F, C), w.dtype)
    kernels.launch("turn_kernel", (ceil_div(w.size, THREADS),), THREADS, w, turned, C, F)
    return turned


def image_gradient(kernels: Kernels, turned: Array, dy: Array) -> Array:
    """dx (N, H, W, C): the convolution of dy (N, H, W, F) with the turned kernel. C is a multiple of PACK too."""
    return convolve(kernels, dy, turned)[0]


class Slices(NamedTuple):
    """A weight gradient's sum over pixels, cut into `number` slices of `length` pixels: partial (number, 9 C, F)."""

    partial: Array
    length: int
    number: int

    @classmethod
    def of(cls, kernels: Kernels, x: Array, F: int, wanted: int) -> Slices:
        """About `wanted` slices of all pixels of x (N, H, W, C)."""
        N, H, W, C = x.shape
        pixels, longest = N * H * W, LONGEST_SPLIT if kernels.products == "SPLIT" else LONGEST
        length = min(max(kernels.tiling.shortest, ceil_div(ceil_div(pixels, wanted), DEPTH) * DEPTH), longest)
        number = ceil_div(pixels, length)
        return cls(kernels.xp.empty((number, 9 * C, F), x.dtype), length, number)

    def add_up(self, kernels: Kernels, dw: Array) -> None:
        """The sum of the slices into dw (3, 3, C, F)."""
        partial, number = self.partial, self.number
        while number > GROUP:
            groups = ceil_div(number, GROUP)
            total = kernels.xp.empty((groups, *partial.shape[1:]), dw.dtype)
            add_groups(kernels, partial, total, dw.size, number)
            partial, number = total, groups
        add_groups(kernels, partial, dw, dw.size, number)


def add_groups(kernels: Kernels, partial: Array, total: Array, count: int, number: int) -> None:
    """Fill total (groups, count): sums of GROUP slices each of partial (number, count); 0 for no slice."""
    grid = (ceil_div(count, VALUES), max(1, ceil_div(number, GROUP)))
    kernels.launch("sum_slices", grid, THREADS, partial, total, count, number)


def weight_gradient(kernels: Kernels, x: Array, dz: Array, dw: Array) -> None:
    """Fill dw (3, 3, C, F), from x (N, H, W, C) and dz (N, H, W, F)."""
    N, H, W, C = x.shape
    F = dz.shape[3]
    slices = Slices.of(kernels, x, F, kernels.tiling.slices)
    pack = pack_of(C)
    rows, threads = (WIDE_ROWS, WIDE_ROWS) if pack > 1 else (NARROW_ROWS, TILE_THREADS)
    kernels.launch(
        f"weight_gradient<{rows}, {threads}, {pack}, {products(kernels, splits=pack > 1 < slices.number)}>",
        (ceil_div(9 * C, rows) * slices.number, ceil_div(F, COLUMNS)), threads,
        x, dz, slices.partial, N, H, W, C, F, slices.length, *dividers(H, W, C),
    )  # fmt: skip
    slices.add_up(kernels, dw)


def pack_of(C: int) -> int:
    """Channels of an image that a thread reads at once."""
    return 1 if C % PACK else PACK


def products(kernels: Kernels, *, splits: bool = False) -> str:
    """The last argument of a product's template. splits: whether there is such a kernel with split factors, and the sum
    has 9 terms or more: the bound of fewer leaves no room for that."""
    return "FLOAT32" if kernels.products == "SPLIT" and not splits else kernels.products
