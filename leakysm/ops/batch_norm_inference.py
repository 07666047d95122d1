"""Batch norm in evaluation: each channel normalised by a given mean and variance.

    x-hat = (x - mean) / sqrt(variance + eps)      y = scale x-hat + shift

Source: Ioffe & Szegedy (2015). Mean and variance are differentiable arguments like the others.
"""

from __future__ import annotations

from typing import Any

from leakysm.ops.arrays import Array, near_one, quiet, require_shape, tree_sum, working
from leakysm.ops.batch_norm import EPS, channel_rows, checked_eps
from leakysm.ops.registry import Operation, arrays, register


@quiet
def batch_norm_inference(
    x: Array, scale: Array, shift: Array, mean: Array, variance: Array, *, eps: float = EPS
) -> Array:
    """Batch norm with given statistics. x (..., C), the others (C,), of one float dtype -> (..., C).

    scale (x - mean) / sqrt(variance + eps) + shift (Ioffe & Szegedy 2015).

    ArrayError or UserError (both ValueErrors) unless all arrays are floats of one dtype, of shapes that fit, and
    0 <= eps < inf.

    Examples
    --------
    >>> x, one = np.array([[1.0], [3.0]]), np.ones(1)
    >>> lk.batch_norm_inference(x, scale=one, shift=0 * one, mean=one, variance=4 * one, eps=0).tolist()
    [[0.0], [1.0]]
    """
    eps = checked_eps(eps)
    xp, (x, scale, shift, mean, variance), finish = working(x=x, scale=scale, shift=shift, mean=mean, variance=variance)
    channel_rows(xp, x, scale=scale, shift=shift, mean=mean, variance=variance)
    part = _part(xp, mean)
    return finish((x * part - mean * part) * _inverse(xp, variance + eps) * scale / part + shift)


def _part(xp: Any, mean: Array) -> Array:
    """A factor (C,) for x and mean: 1, or 1 / 4 where their difference could overflow."""
    large = 2.0**100 if mean.dtype == xp.float32 else 2.0**960
    return xp.where(xp.abs(mean) < large, xp.ones_like(mean), xp.ones_like(mean) / 4)


def _inverse(xp: Any, square: Array) -> Array:
    """1 / sqrt(square), computed from numbers near 1, because autodiff squares the result."""
    even = near_one(xp, square)  # 4^k
    return xp.sqrt(even) / xp.sqrt(square * even)


def variance_gradient(xp: Any, scale: Array, inverse: Array, dscale: Array) -> Array:
    """-scale dscale / (2 sigma^3) (C,), with inverse = 1 / sigma. A factor above 1 is multiplied last."""
    factor = scale * inverse
    return -xp.where(inverse > 1, factor * dscale * inverse, factor * (inverse * dscale)) / 2


@quiet
def batch_norm_inference_vjp(
    x: Array, scale: Array, shift: Array, mean: Array, variance: Array, dy: Array, *, eps: float = EPS
) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients of `batch_norm_inference`. dy (..., C) -> dx (..., C); dscale, dshift, dmean, dvariance (C,).

    Errors as in `batch_norm_inference`.

    Examples
    --------
    >>> x, one = np.array([[1.0], [3.0]]), np.ones(1)
    >>> gradients = lk.batch_norm_inference_vjp(x, one, 0 * one, one, 4 * one, np.ones((2, 1)), eps=0)
    >>> [gradient.tolist() for gradient in gradients]
    [[[0.5], [0.5]], [1.0], [2.0], [-1.0], [-0.125]]
    """
    eps = checked_eps(eps)
    xp, (x, scale, shift, mean, variance, dy), finish = working(
        x=x, scale=scale, shift=shift, mean=mean, variance=variance, dy=dy
    )
    rows = channel_rows(xp, x, scale=scale, shift=shift, mean=mean, variance=variance)
    require_shape("dy", dy, tuple(x.shape))
    dy = channel_rows(xp, dy)
    inverse, part = _inverse(xp, variance + eps), _part(xp, mean)
    dshift = tree_sum(xp, dy, axis=0)
    dscale = tree_sum(xp, dy * ((rows * part - mean * part) * inverse), axis=0) / part
    dx = xp.reshape(dy * (scale * inverse), x.shape)
    dmean = -scale * inverse * dshift
    dvariance = variance_gradient(xp, scale, inverse, dscale)
    return finish(dx), finish(dscale), finish(dshift), finish(dmean), finish(dvariance)


register(
    Operation(
        "batch_norm_inference",
        batch_norm_inference,
        batch_norm_inference_vjp,
        arrays("x", "scale", "shift", "mean", "variance"),
        "x (..., C), finite; scale, shift, mean, variance (C,); variance + eps > 0",
        parameters=("eps",),
    )
)
