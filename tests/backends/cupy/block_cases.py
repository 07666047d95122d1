"""Convolution blocks to test with, and how far from the float64 reference a result may be.

`exact` inputs are small whole numbers: their convolution is exact in float32, so that its ties are true ties and every
discrete choice (pool, ReLU) is the same in float32 and float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from leakysm import ops
from leakysm.backends.protocol import Pair

SHAPES = [  # (N, H, W, C, F): odd sizes, one image, one channel, no multiples of any tile
    (1, 7, 7, 1, 1),
    (2, 7, 7, 3, 5),
    (1, 3, 3, 64, 64),
    (3, 13, 9, 4, 64),
    (2, 2, 2, 64, 8),
    (1, 1, 5, 2, 3),
    (1, 17, 19, 3, 64),
    (0, 7, 7, 4, 4),
]


class Block(NamedTuple):
    x: np.ndarray
    w: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    dy: np.ndarray

    @property
    def arguments(self) -> tuple[np.ndarray, ...]:
        return self[:4]

    def astype(self, dtype: str) -> Block:
        return Block(*(a.astype(dtype) for a in self))


def block(seed: int, shape: tuple[int, ...], dtype: str = "float32", *, exact: bool = True) -> Block:
    """Random inputs of a conv block. Scales of both signs and one that is 0; ReLU's kink is never hit."""
    N, H, W, C, F = shape
    random = np.random.default_rng(seed)
    if exact:
        x, w = random.integers(-3, 4, (N, H, W, C)), random.integers(-2, 3, (3, 3, C, F))
    else:
        x, w = random.normal(size=(N, H, W, C)), random.normal(size=(3, 3, C, F))
    scale = random.choice([-1, 1], F) * random.uniform(0.5, 2, F)
    scale[F // 2] = 0
    shift = random.choice([-1, 1], F) * random.uniform(0.1, 1, F) * np.pi / 3
    dy = random.normal(size=(N, H // 2, W // 2, F))
    # Through float32, so that float32 and float64 see the same numbers.
    return Block(*(a.astype("float32").astype(dtype) for a in (x, w, scale, shift, dy)))


class BlockScales(NamedTuple):
    """Sum of the absolute values that each result adds up, with the condition of the steps before."""

    y: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    dx: np.ndarray
    dw: np.ndarray
    dscale: np.ndarray
    dshift: np.ndarray


def block_scales(case: Block, eps: float = 1e-5) -> BlockScales:
    """Scales in float64. z is the convolution, |z| that of the absolute values. A channel's condition, the error of
    x-hat in units of eps, is max |z| / sigma (1 + max |x-hat|)."""
    x, w, scale, shift, dy = case.astype("float64")
    z, size = ops.conv2d(x, w), ops.conv2d(abs(x), abs(w))
    normal, _, variance = ops.batch_norm(z, np.ones_like(scale), np.zeros_like(shift), eps=eps)
    inverse = 1 / np.sqrt(variance + eps)
    largest = size.max(axis=(0, 1, 2))
    spread = 1 + abs(normal).max(axis=(0, 1, 2))
    condition = 1 + largest * inverse * spread
    y = np.broadcast_to(abs(scale) * condition * spread + abs(shift), dy.shape)
    routed = ops.max_pool2d_vjp(normal, abs(dy)) if dy.size else np.zeros_like(z)
    flat = abs(dy).sum(axis=(0, 1, 2))
    dz = abs(scale) * inverse * condition * (routed + spread**2 * flat / (z.size / z.shape[-1]))
    dx, dw = ops.conv2d_vjp(abs(x), abs(w), dz)
    return BlockScales(y, largest, largest**2, dx, dw, flat * spread * condition, flat)


def assert_close(computed: np.ndarray, exact: np.ndarray, scale: np.ndarray | float, k: float, name: str = "") -> None:
    """|computed - exact| <= k eps scale + k smallest_normal, eps of computed's dtype; exact in float64."""
    assert computed.shape == exact.shape, f"{name}: shape {computed.shape}, expected {exact.shape}"
    info = np.finfo(computed.dtype)
    allowed = k * info.eps * scale + k * info.smallest_normal
    error = abs(computed.astype("float64") - exact)
    worst = np.unravel_index(np.argmax(error / allowed), error.shape) if error.size else ()
    assert np.all(error <= allowed), (
        f"{name}{list(map(int, worst))}: {computed[worst]} for {exact[worst]}, "
        f"{(error / allowed)[worst]:.3g} times the allowed error"
    )


FAR = [("float32", 110), ("float32", -110), ("float64", 900), ("float64", -900)]  # x 2^k, whose squares leave the dtype


def assert_scaled(pair: Pair, channels: int, dtype: str, exponent: int) -> None:
    """With eps 0 the block of x 2^k is the block of x, and its dx that one's times 2^-k."""
    rng = np.random.Generator(np.random.Philox(9))
    x, w = (rng.standard_normal(s).astype(dtype) for s in ((3, 5, 6, channels), (3, 3, channels, 4)))
    scale, shift, dy = (rng.standard_normal(s).astype(dtype) for s in (4, 4, (3, 2, 3, 4)))
    (y, mean, _), saved = pair.forward(x, w, scale, shift, eps=0.0)
    (y_far, mean_far, variance), saved_far = pair.forward(np.ldexp(x, exponent), w, scale, shift, eps=0.0)
    dx, dw, *channel = pair.backward(saved, dy)
    dx_far, dw_far, *channel_far = pair.backward(saved_far, dy)
    assert np.all(variance == (np.inf if exponent > 0 else 0))
    far = (y_far, np.ldexp(mean_far, -exponent), np.ldexp(dx_far, exponent), dw_far, *channel_far)
    for found, expected in zip(far, (y, mean, dx, dw, *channel), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=64 * np.finfo(dtype).eps * np.abs(expected).max())
