"""Convolution, ReLU and max pooling. Sums are exact: in float64 where it has enough bits, else in 50 digits.

What is given to a function, and what it returns, are 50-digit numbers or exact floats.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact
from leakysm.verify.precise import ZERO, Array, Magnitude, exact, in_floats, magnitude, where


def correlate(x: Array, w: Array) -> Array:
    """x (N, H, W, C) with w (3, 3, C, F), stride 1, zero padding 1 -> (N, H, W, F); cross-correlation."""
    return _correlated(*(in_floats(x, w, 9 * x.shape[-1]) or (exact(x), exact(w))))


def correlate_magnitudes(x: Magnitude, w: Magnitude) -> Magnitude:
    """Magnitudes x (N, H, W, C), correlated with w (3, 3, C, F) -> (N, H, W, F). Sums of floats may be rounded."""
    return correlate(x, w) if object in (x.dtype, w.dtype) else _correlated(x, w)


def _correlated(x: Any, w: Any) -> Any:
    return (_windows(x) @ w.reshape(-1, w.shape[-1])).reshape(*x.shape[:3], w.shape[-1])


def _windows(x: Any) -> Any:
    """(N, H, W, C) -> (N H W, 9 C): the 3x3 window of every pixel, kernel row first, then column, then channel."""
    n, h, w, c = x.shape
    padded = np.full((n, h + 2, w + 2, c), ZERO if x.dtype == object else 0.0, x.dtype)
    padded[:, 1 : h + 1, 1 : w + 1] = x
    shifted = [padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    return np.stack(shifted, axis=3).reshape(n * h * w, 9 * c)


def correlate_dx(w: Array, dy: Array) -> Array:
    """dx = dy correlated with w turned by 180 degrees, channels exchanged."""
    return correlate(dy, _turned(w))


def correlate_dx_magnitudes(w: Magnitude, dy: Magnitude) -> Magnitude:
    """The scale of dx, from the magnitudes of w and dy. Sums of floats may be rounded."""
    return correlate_magnitudes(dy, _turned(w))


def _turned(w: Any) -> Any:
    return w[::-1, ::-1].transpose(0, 1, 3, 2)


def correlate_dw(x: Array, dy: Array) -> Array:
    """dw = sum over images and pixels of window times dy."""
    return _correlated_dw(*(in_floats(x, dy, x.shape[0] * x.shape[1] * x.shape[2]) or (exact(x), exact(dy))))


def correlate_dw_magnitudes(x: Magnitude, dy: Magnitude) -> Magnitude:
    """The scale of dw, from the magnitudes of x and dy. Sums of floats may be rounded."""
    return correlate_dw(x, dy) if object in (x.dtype, dy.dtype) else _correlated_dw(x, dy)


def _correlated_dw(x: Any, dy: Any) -> Any:
    return (_windows(x).T @ dy.reshape(-1, dy.shape[-1])).reshape(3, 3, x.shape[-1], dy.shape[-1])


def conv2d(x: Any, w: Any) -> tuple[Exact, ...]:
    return (Exact.of(correlate(x, w), correlate_magnitudes(magnitude(x), magnitude(w)), 9.0 * max(x.shape[-1], 1)),)


def conv2d_vjp(x: Any, w: Any, dy: Any) -> tuple[Exact, ...]:
    pixels, (x_magnitude, w_magnitude, dy_magnitude) = x.shape[0] * x.shape[1] * x.shape[2], map(magnitude, (x, w, dy))
    return (
        Exact.of(correlate_dx(w, dy), correlate_dx_magnitudes(w_magnitude, dy_magnitude), 9.0 * max(w.shape[-1], 1)),
        Exact.of(correlate_dw(x, dy), correlate_dw_magnitudes(x_magnitude, dy_magnitude), float(max(pixels, 1))),
    )


def relu(x: Any) -> tuple[Exact, ...]:
    return (Exact.of(np.where(x > 0, x, 0.0), np.zeros(x.shape), 0.0),)


def relu_vjp(x: Any, dy: Any) -> tuple[Exact, ...]:
    """dx = dy where x > 0: the gradient at 0 is 0."""
    return (Exact.of(np.where(x > 0, dy, 0.0), np.zeros(x.shape), 0.0),)


def pool_windows(x: Array) -> Array:
    """(N, H, W, C) -> (N, H // 2, W // 2, C, 4): the 2x2 windows in row-major order; an odd last row, column is cut."""
    n, h, w, c = x.shape
    even = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)
    return even.transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, c, 4)


def unpool(values: Array, choice: Any, shape: tuple[int, ...]) -> Array:
    """values (N, H // 2, W // 2, C) put at position `choice` (0 to 3, -1 nowhere) of their windows, 0 elsewhere."""
    n, h, w, c = shape
    zero = ZERO if values.dtype == object else 0.0
    spread = where(np.arange(4) == choice[..., None], values[..., None], zero)
    full = np.full(shape, zero, values.dtype)
    inner = spread.reshape(n, h // 2, w // 2, c, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    full[:, : h // 2 * 2, : w // 2 * 2] = inner.reshape(n, h // 2 * 2, w // 2 * 2, c)
    return full


def first_maximum(windows: Array) -> Any:
    """The first maximum's position along the last axis."""
    return np.argmax(windows, axis=-1) if windows.size else np.zeros(windows.shape[:-1], dtype=int)


def max_pool2d(x: Any) -> tuple[Exact, ...]:
    windows = pool_windows(x)
    value = np.take_along_axis(windows, first_maximum(windows)[..., None], -1)[..., 0]
    return (Exact.of(value, np.zeros(value.shape), 0.0),)


def max_pool2d_vjp(x: Any, dy: Any) -> tuple[Exact, ...]:
    """dy goes to the first maximum of each window in row-major order."""
    dx = unpool(dy, first_maximum(pool_windows(x)), x.shape)
    return (Exact.of(dx, np.zeros(dx.shape), 0.0),)
