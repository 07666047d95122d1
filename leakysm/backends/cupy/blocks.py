"""The convolution's operations: conv2d, and convolution, batch norm, ReLU and max pool in three kernels forward.

What goes where, per block: `convolve` also gathers the batch's statistics while its tile is at hand; `pool` reads the
result once, picks each window's winner before it normalises (see norm_pool.cu) and keeps the winners; backward,
`pool_sums` needs only the winners, and `unpool` reads the convolution's result once and writes its gradient once; in a
first layer, where only the weights want that gradient, it is never written.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

from leakysm import ops
from leakysm.backends.checks import check_batch, check_block, check_convolution, check_cotangent
from leakysm.backends.cupy.convolution import (
    Slices,
    Statistics,
    convolve,
    image_gradient,
    products,
    turn,
    weight_gradient,
)
from leakysm.backends.cupy.kernels import (
    COLUMNS,
    LANES,
    NARROW_ROWS,
    PACK,
    THREADS,
    TILE,
    TILE_THREADS,
    Kernels,
    ceil_div,
    dividers,
)
from leakysm.backends.protocol import Pair
from leakysm.ops.arrays import Array
from leakysm.ops.batch_norm import EPS
from leakysm.ops.batch_norm_inference import variance_gradient


class Factors(NamedTuple):
    """What conv2d's backward pass needs: x (N, H, W, C) and w (3, 3, C, F)."""

    x: Array
    w: Array


class Saved(NamedTuple):
    """What a block's backward pass needs. z: the convolution's result; winner and place: each window's chosen z, and
    where it was (uint8; see norm.cuh)."""

    x: Array
    w: Array
    channels: tuple[Array, Array, Array, Array]  # mean, 1 / sigma, scale, shift
    z: Array
    winner: Array
    place: Array


def batch_statistics(kernels: Kernels, z: Array, tiles: Statistics, eps: float) -> tuple[Array, Array, Array]:
    """Mean, biased variance and 1 / sigma of each channel of z (N, H, W, F), (F,)."""
    F, count = tiles.mean.shape
    mean, variance, inverse = (kernels.xp.empty(F, z.dtype) for _ in range(3))
    outputs = (mean, variance, inverse)
    sizes = (count, tiles.rows, z.size // F)
    kernels.launch("finish_statistics", (F,), THREADS, z, tiles.mean, tiles.square, *outputs, *sizes, float(eps))
    return outputs


def pool(kernels: Kernels, z: Array, channels: tuple[Array, ...]) -> tuple[Array, Array, Array]:
    """y, the winners' z, and their places, (N, H // 2, W // 2, F)."""
    N, H, W, F = z.shape
    xp, shape = kernels.xp, (N, H // 2, W // 2, F)
    y, winner, place = xp.empty(shape, z.dtype), xp.empty(shape, z.dtype), xp.empty(shape, xp.uint8)
    grid = (ceil_div(y.size // PACK, THREADS),)
    by = dividers(H // 2, W // 2, F // PACK)
    kernels.launch("pool", grid, THREADS, z, *channels, y, winner, place, N, H, W, F, *by)
    return y, winner, place


def channel_gradients(kernels: Kernels, saved: Saved, dy: Array, dscale: Array, dshift: Array) -> None:
    """Fill dscale and dshift, (F,)."""
    F = dy.shape[3]
    rows = dy.size // F
    tiles = ceil_div(rows, TILE)
    sums = kernels.xp.empty((2, F, tiles), dy.dtype)
    mean, inverse, _, _ = saved.channels
    grid = (tiles, ceil_div(F, LANES * PACK))
    kernels.launch("pool_sums", grid, THREADS, dy, saved.winner, saved.place, mean, inverse, sums, rows, F)
    kernels.launch("finish_sums", (F,), THREADS, sums, dscale, dshift, tiles, F)


def convolution_gradient(
    kernels: Kernels, saved: Saved, dy: Array, dscale: Array, dshift: Array, *, training: bool
) -> Array:
    """dz (N, H, W, F). In training the statistics depend on z too."""
    N, H, W, F = saved.z.shape
    dz = kernels.xp.empty_like(saved.z)
    channels = (*saved.channels[:3], dscale, dshift)
    windows = ceil_div(H, 2), ceil_div(W, 2), F // PACK
    grid = (ceil_div(N * math.prod(windows), THREADS),)
    n = N * H * W if training else 0
    kernels.launch("unpool", grid, THREADS, saved.z, dy, saved.place, *channels, dz, N, H, W, F, n, *dividers(*windows))
    return dz


def first_weight_gradient(kernels: Kernels, saved: Saved, dy: Array, dw: Array, dscale: Array, dshift: Array) -> None:
    """Fill dw (3, 3, C, F), if no dx is needed: dz is computed inside the product, never stored."""
    N, H, W, F = saved.z.shape
    C, pixels = saved.x.shape[3], N * H * W
    channels = (*saved.channels[:3], dscale, dshift)
    slices = Slices.of(kernels, saved.x, F, kernels.tiling.first_slices)
    kernels.launch(
        f"first_weight_gradient<{NARROW_ROWS}, {products(kernels)}>",
        (ceil_div(9 * C, NARROW_ROWS) * slices.number, ceil_div(F, COLUMNS)), TILE_THREADS,
        saved.x, saved.z, dy, saved.place, *channels, slices.partial, N, H, W, C, F, pixels, slices.length,
        *dividers(H, W, C),
    )  # fmt: skip
    slices.add_up(kernels, dw)


def input_gradient(kernels: Kernels, x: Array, w: Array, dz: Array) -> Array:
    """dx (N, H, W, C) of the convolution of x with w: where C is no multiple of PACK, by the reference operation."""
    if x.shape[3] % PACK:
        dx: Array = ops.conv2d_vjp(x, w, dz)[0]
        return dx
    return image_gradient(kernels, turn(kernels, w), dz)


def conv2d_forward(kernels: Kernels, x: Array, w: Array) -> tuple[Array, Factors]:
    """conv2d by the implicit matrix product."""
    check_convolution(x, w)
    x, w = kernels.contiguous(x, w)
    return convolve(kernels, x, w)[0], Factors(x, w)


def conv2d_backward(kernels: Kernels, saved: Factors, dy: Array) -> tuple[Array, Array]:
    """dx, dw of `conv2d_forward`."""
    x, w = saved
    check_cotangent(dy, x, (*x.shape[:3], w.shape[3]))
    (dy,) = kernels.contiguous(dy)
    dw = kernels.xp.empty_like(w)
    weight_gradient(kernels, x, dy, dw)
    return input_gradient(kernels, x, w, dy), dw


def block_forward(
    kernels: Kernels, x: Array, w: Array, scale: Array, shift: Array, *, eps: float
) -> tuple[tuple[Array, Array, Array], Saved]:
    """((y, mean, variance), saved) of arrays as the kernels read them, normalised by the batch. Checks nothing."""
    z, tiles = convolve(kernels, x, w, statistics=True)
    assert tiles is not None
    mean, variance, inverse = batch_statistics(kernels, z, tiles, eps)
    channels = (mean, inverse, scale, shift)
    y, winner, place = pool(kernels, z, channels)
    return (y, mean, variance), Saved(x, w, channels, z, winner, place)


def conv_block_forward(
    kernels: Kernels, x: Array, w: Array, scale: Array, shift: Array, *, eps: float = EPS
) -> tuple[tuple[Array, Array, Array], Saved]:
    """y = max_pool2d(relu(batch_norm(conv2d(x, w)))) with the batch's own statistics, mean and variance; saved."""
    check_block(eps, x, w, scale=scale, shift=shift)
    check_batch(x)
    return block_forward(kernels, *kernels.contiguous(x, w, scale, shift), eps=eps)


def conv_block_backward(kernels: Kernels, saved: Saved, dy: Array, needs_dx: bool = True) -> tuple[Array | None, ...]:
    """dx (None if not needed), dw, dscale, dshift of `conv_block_forward`."""
    check_cotangent(dy, saved.x, saved.winner.shape)
    (dy,) = kernels.contiguous(dy)
    dw, dscale, dshift = (kernels.xp.empty_like(a) for a in (saved.w, *saved.channels[2:]))
    channel_gradients(kernels, saved, dy, dscale, dshift)
    if not needs_dx:
        first_weight_gradient(kernels, saved, dy, dw, dscale, dshift)
        return None, dw, dscale, dshift
    dz = convolution_gradient(kernels, saved, dy, dscale, dshift, training=True)
    weight_gradient(kernels, saved.x, dz, dw)
    return input_gradient(kernels, saved.x, saved.w, dz), dw, dscale, dshift


def conv_block_inference_forward(
    kernels: Kernels, x: Array, w: Array, scale: Array, shift: Array, mean: Array, variance: Array, *, eps: float = EPS
) -> tuple[Array, Saved]:
    """y of the block with given statistics, and saved."""
    check_block(eps, x, w, scale=scale, shift=shift, mean=mean, variance=variance)
    x, w, scale, shift, mean, variance = kernels.contiguous(x, w, scale, shift, mean, variance)
    F = w.shape[3]
    inverse = kernels.xp.empty_like(variance)
    kernels.launch("invert_deviation", (ceil_div(F, THREADS),), THREADS, variance, inverse, F, float(eps))
    channels = (mean, inverse, scale, shift)
    z, _ = convolve(kernels, x, w)
    y, winner, place = pool(kernels, z, channels)
    return y, Saved(x, w, channels, z, winner, place)


def conv_block_inference_backward(kernels: Kernels, saved: Saved, dy: Array) -> tuple[Array, ...]:
    """dx, dw, dscale, dshift, dmean, dvariance of `conv_block_inference_forward`."""
    check_cotangent(dy, saved.x, saved.winner.shape)
    (dy,) = kernels.contiguous(dy)
    dw, dscale, dshift = (kernels.xp.empty_like(a) for a in (saved.w, *saved.channels[2:]))
    channel_gradients(kernels, saved, dy, dscale, dshift)
    dz = convolution_gradient(kernels, saved, dy, dscale, dshift, training=False)
    weight_gradient(kernels, saved.x, dz, dw)
    _, inverse, scale, _ = saved.channels
    dmean = -scale * inverse * dshift
    dvariance = variance_gradient(kernels.xp, scale, inverse, dscale)
    return input_gradient(kernels, saved.x, saved.w, dz), dw, dscale, dshift, dmean, dvariance


def block_pairs(kernels: Kernels) -> dict[str, Pair]:
    """The pairs of this file, by operation: for float32, and filters that are a multiple of PACK."""
    return {
        "conv2d": Pair(partial(conv2d_forward, kernels), partial(conv2d_backward, kernels)),
        "conv_block": Pair(partial(conv_block_forward, kernels), partial(conv_block_backward, kernels)),
        "conv_block_inference": Pair(
            partial(conv_block_inference_forward, kernels), partial(conv_block_inference_backward, kernels)
        ),
    }
