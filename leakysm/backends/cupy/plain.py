"""The readable twin of the fused kernels: convolution blocks by im2col and one matrix product, in plain array calls.

Written over a namespace `xp`: cupy, or numpy in tests, where the very same lines run without a GPU. Not tuned: on a GPU
the kernels are judged by it. All arrays NHWC, kernels HWIO.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from leakysm.backends.checks import check_batch, check_block, check_convolution, check_cotangent
from leakysm.backends.protocol import Pair
from leakysm.ops.arrays import Array, quiet
from leakysm.ops.batch_norm import EPS, normalised

TAPS = [(i, j) for i in range(3) for j in range(3)]  # row-major, as the kernel's first two axes are flattened


def columns(xp: Any, x: Array) -> Array:
    """im2col: every zero-padded 3x3 window, (N, H, W, C) -> (N H W, 9 C): taps row-major, then channels."""
    N, H, W, C = x.shape
    padded = xp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = xp.stack([padded[:, i : i + H, j : j + W] for i, j in TAPS], axis=3)  # (N, H, W, 9, C)
    return windows.reshape(N * H * W, 9 * C)


def convolve(xp: Any, x: Array, w: Array) -> Array:
    """3x3 cross-correlation, stride 1, zero padding 1. x (N, H, W, C), w (3, 3, C, F) -> (N, H, W, F)."""
    C, F = w.shape[2:]
    return (columns(xp, x) @ w.reshape(9 * C, F)).reshape(*x.shape[:3], F)


def convolve_back(xp: Any, x: Array, w: Array, dy: Array, needs_dx: bool = True) -> tuple[Array | None, Array]:
    """dx: each tap's product, added where its window came from (None if not needed); dw: columns' @ dy."""
    N, H, W, C = x.shape
    F = w.shape[3]
    flat = dy.reshape(N * H * W, F)
    dw = (columns(xp, x).T @ flat).reshape(w.shape)
    if not needs_dx:
        return None, dw
    windows = (flat @ w.reshape(9 * C, F).T).reshape(N, H, W, 9, C)
    dx = xp.zeros((N, H + 2, W + 2, C), x.dtype)
    for tap, (i, j) in enumerate(TAPS):
        dx[:, i : i + H, j : j + W] += windows[:, :, :, tap]
    return dx[:, 1:-1, 1:-1], dw


def pool(xp: Any, x: Array) -> tuple[Array, Array]:
    """2x2 maximum, stride 2, floor, and its place 0..3 in the window, the first in row-major order.

    x (N, H, W, C) -> both (N, H // 2, W // 2, C).
    """
    N, H, W, C = x.shape
    h, w = H // 2, W // 2
    windows = x[:, : 2 * h, : 2 * w].reshape(N, h, 2, w, 2, C).transpose(0, 1, 3, 5, 2, 4).reshape(N, h, w, C, 4)
    place = xp.argmax(windows, axis=-1)
    return xp.take_along_axis(windows, place[..., None], axis=-1)[..., 0], place


def unpool(xp: Any, dy: Array, place: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of `pool`: each dy goes to its place, everything else is 0."""
    N, h, w, C = dy.shape
    windows = xp.where(xp.arange(4) == place[..., None], dy[..., None], xp.zeros((), dy.dtype))  # (N, h, w, C, 4)
    dx = xp.zeros(shape, dy.dtype)
    dx[:, : 2 * h, : 2 * w] = windows.reshape(N, h, w, C, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(N, 2 * h, 2 * w, C)
    return dx


def conv2d_pair(xp: Any) -> Pair:
    """conv2d as im2col and a matrix product."""

    def forward(x: Array, w: Array) -> tuple[Array, Any]:
        check_convolution(x, w)
        return convolve(xp, x, w), (x, w)

    def backward(saved: Any, dy: Array) -> tuple[Array | None, Array]:
        x, w = saved
        check_cotangent(dy, x, (*x.shape[:3], w.shape[3]))
        return convolve_back(xp, x, w, dy)

    return Pair(forward, backward)


def conv_block_pair(xp: Any) -> Pair:
    """max_pool2d(relu(batch_norm(conv2d(x, w)))) with the batch's own statistics, step by step."""

    @quiet
    def forward(x: Array, w: Array, scale: Array, shift: Array, *, eps: float = EPS) -> tuple[Any, Any]:
        check_block(eps, x, w, scale=scale, shift=shift)
        check_batch(x)
        z = convolve(xp, x, w)
        found = normalised(array_namespace(z), z.reshape(-1, w.shape[3]), eps)
        normal, inverse = found.x_hat.reshape(z.shape), found.inverse * found.power
        before = normal * scale + shift
        y, place = pool(xp, xp.maximum(before, 0))
        return (y, found.mean, found.variance), (x, w, scale, normal, inverse, before > 0, place)

    @quiet
    def backward(saved: Any, dy: Array, needs_dx: bool = True) -> tuple[Array | None, ...]:
        x, w, scale, normal, inverse, positive, place = saved
        check_cotangent(dy, x, place.shape)
        d = xp.where(positive, unpool(xp, dy, place, normal.shape), xp.zeros((), dy.dtype))
        dshift = d.sum(axis=(0, 1, 2))
        dscale = (d * normal).sum(axis=(0, 1, 2))
        count = x.shape[0] * x.shape[1] * x.shape[2]
        dconv = (d - dshift / count - normal * (dscale / count)) * inverse * scale
        return *convolve_back(xp, x, w, dconv, needs_dx), dscale, dshift

    return Pair(forward, backward)


def plain_pairs(xp: Any) -> dict[str, Pair]:
    """The pairs of this file, by operation. What is missing falls back to the reference operation."""
    return {"conv2d": conv2d_pair(xp), "conv_block": conv_block_pair(xp)}
