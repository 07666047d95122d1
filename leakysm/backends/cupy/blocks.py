"""The fused pairs: conv2d, and convolution, batch norm, ReLU and max pool in three kernels forward.

What goes where, per block: `convolve` also gathers the batch's statistics while its tile is at hand; `pool` reads the
result once, picks each window's winner before it normalises (see norm_pool.cu) and keeps the winners; backward,
`pool_sums` needs only the winners, and `unpool` reads the convolution's result once and writes its gradient once; in a
first layer, where only the weights want that gradient, it is never written.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from leakysm.backends.checks import check_batch, check_block, check_convolution, check_cotangent
from leakysm.backends.cupy.convolution import (
    COLUMNS,
    SMALL_ROWS,
    Slices,
    Statistics,
    ceil_div,
    contiguous,
    convolve,
    image_gradient,
    products,
    turn,
    weight_gradient,
)
from leakysm.backends.cupy.kernels import Kernels
from leakysm.backends.protocol import Pair
from leakysm.ops.arrays import Array
from leakysm.ops.batch_norm import EPS
from leakysm.ops.batch_norm_inference import variance_gradient

THREADS, LANES, TILE = 256, 16, 256  # as in norm_pool.cu


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
    mean, variance, inverse = (kernels.xp.empty(F, tiles.mean.dtype) for _ in range(3))
    kernels.launch(
        f"finish_statistics<{kernels.c_type(mean)}>",
        (F,), THREADS,
        z, tiles.mean, tiles.square, mean, variance, inverse, count, tiles.rows, z.size // F, mean.dtype.type(eps),
    )  # fmt: skip
    return mean, variance, inverse


def pool(kernels: Kernels, z: Array, channels: tuple[Array, ...]) -> tuple[Array, Array, Array]:
    """y, the winners' z, and their places, (N, H // 2, W // 2, F)."""
    N, H, W, F = z.shape
    xp, shape = kernels.xp, (N, H // 2, W // 2, F)
    y, winner, place = xp.empty(shape, z.dtype), xp.empty(shape, z.dtype), xp.empty(shape, xp.uint8)
    v = kernels.width(z, y, winner, *channels)
    grid = (ceil_div(y.size // v, THREADS),)
    kernels.launch(f"pool<{kernels.c_type(z)}, {v}>", grid, THREADS, z, *channels, y, winner, place, N, H, W, F)
    return y, winner, place


def channel_gradients(kernels: Kernels, saved: Saved, dy: Array, dscale: Array, dshift: Array) -> None:
    """Into dscale and dshift, (F,)."""
    F = dy.shape[3]
    rows = dy.size // F
    tiles = ceil_div(rows, TILE)
    sums = kernels.xp.empty((2, F, tiles), dy.dtype)
    mean, inverse, _, _ = saved.channels
    c, v = kernels.c_type(dy), kernels.width(dy, saved.winner, mean, inverse)
    grid = (tiles, ceil_div(F, LANES * v))
    kernels.launch(f"pool_sums<{c}, {v}>", grid, THREADS, dy, saved.winner, saved.place, mean, inverse, sums, rows, F)
    kernels.launch(f"finish_sums<{c}>", (F,), THREADS, sums, dscale, dshift, tiles, F)


def convolution_gradient(
    kernels: Kernels, saved: Saved, dy: Array, dscale: Array, dshift: Array, *, training: bool
) -> Array:
    """dz (N, H, W, F). In training the statistics depend on z too."""
    N, H, W, F = saved.z.shape
    dz = kernels.xp.empty_like(saved.z)
    channels = (*saved.channels[:3], dscale, dshift)
    v = kernels.width(saved.z, dy, *channels)
    grid = (ceil_div(N * ceil_div(H, 2) * ceil_div(W, 2) * (F // v), THREADS),)
    n = N * H * W if training else 0
    kernels.launch(
        f"unpool<{kernels.c_type(dz)}, {v}>",
        grid, THREADS,
        saved.z, dy, saved.place, *channels, dz, N, H, W, F, n,
    )  # fmt: skip
    return dz


def first_weight_gradient(kernels: Kernels, saved: Saved, dy: Array, dw: Array, dscale: Array, dshift: Array) -> None:
    """Into dw (3, 3, C, F), where no dx is needed: dz is made as the product takes it, never stored, if it can be."""
    N, H, W, F = saved.z.shape
    C, pixels = saved.x.shape[3], N * H * W
    channels = (*saved.channels[:3], dscale, dshift)
    c, v = kernels.c_type(dw), kernels.width(saved.z, dy, dw, *channels)
    if c == "double" or v == 1:
        weight_gradient(kernels, saved.x, convolution_gradient(kernels, saved, dy, dscale, dshift, training=True), dw)
        return
    slices = Slices.of(kernels, pixels, C, F, dw.dtype)
    kernels.launch(
        f"first_weight_gradient<{c}, {v}, {products(kernels, c)}>",
        (ceil_div(9 * C, SMALL_ROWS), ceil_div(F, COLUMNS), slices.number), 128,
        saved.x, saved.z, dy, saved.place, *channels, slices.partial, N, H, W, C, F, pixels, slices.length,
    )  # fmt: skip
    slices.add_up(kernels, dw)


def block_forward(
    kernels: Kernels, x: Array, w: Array, scale: Array, shift: Array, *, eps: float
) -> tuple[tuple[Array, Array, Array], Saved]:
    """((y, mean, variance), saved) of contiguous arrays, normalised by the batch."""
    z, tiles = convolve(kernels, x, w, statistics=True)
    assert tiles is not None
    mean, variance, inverse = batch_statistics(kernels, z, tiles, eps)
    channels = (mean, inverse, scale, shift)
    y, winner, place = pool(kernels, z, channels)
    return (y, mean, variance), Saved(x, w, channels, z, winner, place)


def conv2d_pair(kernels: Kernels) -> Pair:
    """conv2d by the implicit matrix product."""

    def forward(x: Array, w: Array) -> tuple[Array, Any]:
        check_convolution(x, w)
        x, w = contiguous(kernels.xp, x, w)
        return convolve(kernels, x, w)[0], (x, w)

    def backward(saved: Any, dy: Array) -> tuple[Array, Array]:
        x, w = saved
        check_cotangent(dy, x, (*x.shape[:3], w.shape[3]))
        (dy,) = contiguous(kernels.xp, dy)
        dw = kernels.xp.empty_like(w)
        weight_gradient(kernels, x, dy, dw)
        return image_gradient(kernels, turn(kernels, w), dy), dw

    return Pair(forward, backward)


def conv_block_pair(kernels: Kernels) -> Pair:
    """max_pool2d(relu(batch_norm(conv2d(x, w)))) with the batch's own statistics."""

    def forward(x: Array, w: Array, scale: Array, shift: Array, *, eps: float = EPS) -> tuple[Any, Any]:
        check_block(eps, x, w, scale=scale, shift=shift)
        check_batch(x)
        return block_forward(kernels, *contiguous(kernels.xp, x, w, scale, shift), eps=eps)

    def backward(saved: Saved, dy: Array, needs_dx: bool = True) -> tuple[Array | None, ...]:
        check_cotangent(dy, saved.x, saved.winner.shape)
        (dy,) = contiguous(kernels.xp, dy)
        dw, dscale, dshift = (kernels.xp.empty_like(a) for a in (saved.w, *saved.channels[2:]))
        channel_gradients(kernels, saved, dy, dscale, dshift)
        if not needs_dx:
            first_weight_gradient(kernels, saved, dy, dw, dscale, dshift)
            return None, dw, dscale, dshift
        dz = convolution_gradient(kernels, saved, dy, dscale, dshift, training=True)
        weight_gradient(kernels, saved.x, dz, dw)
        return image_gradient(kernels, turn(kernels, saved.w), dz), dw, dscale, dshift

    return Pair(forward, backward)


def conv_block_inference_pair(kernels: Kernels) -> Pair:
    """The block with given statistics."""

    def forward(
        x: Array, w: Array, scale: Array, shift: Array, mean: Array, variance: Array, *, eps: float = EPS
    ) -> tuple[Array, Any]:
        check_block(eps, x, w, scale=scale, shift=shift, mean=mean, variance=variance)
        x, w, scale, shift, mean, variance = contiguous(kernels.xp, x, w, scale, shift, mean, variance)
        F = w.shape[3]
        inverse = kernels.xp.empty_like(variance)
        name = f"invert_deviation<{kernels.c_type(x)}>"
        kernels.launch(name, (ceil_div(F, THREADS),), THREADS, variance, inverse, F, x.dtype.type(eps))
        channels = (mean, inverse, scale, shift)
        z, _ = convolve(kernels, x, w)
        y, winner, place = pool(kernels, z, channels)
        return y, Saved(x, w, channels, z, winner, place)

    def backward(saved: Saved, dy: Array) -> tuple[Array, ...]:
        check_cotangent(dy, saved.x, saved.winner.shape)
        (dy,) = contiguous(kernels.xp, dy)
        dw, dscale, dshift = (kernels.xp.empty_like(a) for a in (saved.w, *saved.channels[2:]))
        channel_gradients(kernels, saved, dy, dscale, dshift)
        dz = convolution_gradient(kernels, saved, dy, dscale, dshift, training=False)
        weight_gradient(kernels, saved.x, dz, dw)
        _, inverse, scale, _ = saved.channels
        dmean = -scale * inverse * dshift
        dvariance = variance_gradient(kernels.xp, scale, inverse, dscale)
        dx = image_gradient(kernels, turn(kernels, saved.w), dz)
        return dx, dw, dscale, dshift, dmean, dvariance

    return Pair(forward, backward)


def block_pairs(kernels: Kernels) -> dict[str, Pair]:
    """The pairs of this file, by operation."""
    return {
        "conv2d": conv2d_pair(kernels),
        "conv_block": conv_block_pair(kernels),
        "conv_block_inference": conv_block_inference_pair(kernels),
    }
