"""Batch norm in training: each channel normalised by the batch's own mean and biased variance.

    x-hat = (x - mean) / sqrt(variance + eps)      y = scale x-hat + shift
    dshift = sum dy      dscale = sum dy x-hat
    dx = scale / sqrt(variance + eps) (dy - dshift / n - x-hat dscale / n)

n = the number of values of a channel. Source: Ioffe & Szegedy (2015). If a channel's squares or sums
would overflow or underflow, the channel is multiplied by a power of two first.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from leakysm.errors import UserError
from leakysm.ops.arrays import Array, near_one, number, quiet, require_shape, tree_sum, working
from leakysm.ops.registry import Operation, arrays, register

EPS = 1e-5


def channel_rows(xp: Any, x: Array, **per_channel: Array) -> Array:
    """(..., C) -> (n, C) rows; UserError unless every array in `per_channel` is (C,)."""
    if x.ndim < 2:
        raise UserError(
            f"x has shape {tuple(x.shape)}; (..., channels) with at least 2 axes is expected: add a batch axis"
        )
    C = x.shape[-1]
    for name, array in per_channel.items():
        require_shape(name, array, (C,))
    return xp.reshape(x, (math.prod(x.shape[:-1]), C))


def checked_eps(eps: Any) -> float:
    """`eps` as a Python float, so that its dtype does not matter. UserError unless 0 <= eps < inf."""
    value = number("eps", eps, "0 <= eps < inf")
    if not 0 <= value < math.inf:
        raise UserError(f"eps is {eps!r}; 0 <= eps < inf is expected: 1e-5 is usual")
    return value


class NormalisedRows(NamedTuple):
    """Batch norm before scale and shift. x_hat is (n, C), the others are (C,). sigma = 1 / (inverse * power)."""

    x_hat: Array
    inverse: Array
    power: Array  # of two that multiplied the channel: 1, unless squares or sums would leave the dtype's range
    mean: Array
    variance: Array


def normalised(xp: Any, rows: Array, eps: float) -> NormalisedRows:
    """rows (n, C), normalised channel by channel."""
    n = rows.shape[0]
    if n < 2:
        raise UserError(
            f"batch norm has {n} value(s) a channel; at least 2 are expected: use a larger batch, or evaluation"
        )
    first = near_one(xp, xp.max(xp.abs(rows), axis=0))
    rows = rows * first
    mean = tree_sum(xp, rows, axis=0) / n
    centred = rows - mean
    rest = tree_sum(xp, centred, axis=0) / n  # the mean's rounding error; its square may exceed the variance
    mean, centred = mean + rest, centred - rest
    second = near_one(xp, xp.maximum(xp.max(xp.abs(centred), axis=0), math.sqrt(eps) * first))
    centred, power = centred * second, first * second
    variance = tree_sum(xp, centred * centred, axis=0) / n
    inverse = 1 / xp.sqrt(variance + eps * power * power)
    return NormalisedRows(centred * inverse, inverse, power, mean / first, variance / power / power)


@quiet
def batch_norm(x: Array, scale: Array, shift: Array, *, eps: float = EPS) -> tuple[Array, Array, Array]:
    """Batch norm. x (..., C), scale (C,), shift (C,) of one float dtype -> y (..., C), mean (C,), biased variance (C,).

    y = scale (x - mean) / sqrt(variance + eps) + shift (Ioffe & Szegedy 2015). UserError (a ValueError) for fewer than
    two values per channel, a wrong shape, or eps < 0; ArrayError for a wrong dtype.

    Examples
    --------
    >>> y, mean, variance = lk.batch_norm(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), eps=0)
    >>> y.tolist(), mean.tolist(), variance.tolist()
    ([[-1.0], [1.0]], [2.0], [1.0])
    """
    eps = checked_eps(eps)
    xp, (x, scale, shift), finish = working(x=x, scale=scale, shift=shift)
    batch = normalised(xp, channel_rows(xp, x, scale=scale, shift=shift), eps)
    y = xp.reshape(batch.x_hat * scale + shift, x.shape)
    return finish(y), finish(batch.mean), finish(batch.variance)


@quiet
def batch_norm_vjp(x: Array, scale: Array, shift: Array, dy: Array, *, eps: float = EPS) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm`'s y. dy (..., C) -> dx (..., C), dscale (C,), dshift (C,). Errors as in `batch_norm`.

    Examples
    --------
    >>> x, dy = np.array([[0.0], [0.0], [2.0], [2.0]]), np.array([[1.0], [0.0], [0.0], [0.0]])
    >>> dx, dscale, dshift = lk.batch_norm_vjp(x, np.ones(1), np.zeros(1), dy, eps=0)
    >>> dx.tolist(), dscale.tolist(), dshift.tolist()
    ([[0.5], [-0.5], [0.0], [0.0]], [-1.0], [1.0])
    """
    eps = checked_eps(eps)
    xp, (x, scale, shift, dy), finish = working(x=x, scale=scale, shift=shift, dy=dy)
    x_hat, inverse, power, _, _ = normalised(xp, channel_rows(xp, x, scale=scale, shift=shift), eps)
    require_shape("dy", dy, tuple(x.shape))
    dy = channel_rows(xp, dy)
    n = dy.shape[0]
    dshift = tree_sum(xp, dy, axis=0)
    dscale = tree_sum(xp, dy * x_hat, axis=0)
    dx = (dy - dshift / n - x_hat * (dscale / n)) * inverse * scale * power
    return finish(xp.reshape(dx, x.shape)), finish(dscale), finish(dshift)


register(
    Operation(
        "batch_norm",
        batch_norm,
        batch_norm_vjp,
        arrays("x", "scale", "shift"),
        "x (..., C), finite, at least 2 values a channel; scale, shift (C,); eps >= 0, > 0 for a constant channel",
        parameters=("eps",),
        outputs=("y", "mean", "variance"),
    )
)
