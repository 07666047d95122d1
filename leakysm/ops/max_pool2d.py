"""2x2 max pool, stride 2, floor: a last odd row or column is dropped. Ties: the gradient goes to the first maximum in
row-major order of the window. A NaN in a window makes its maximum NaN."""

from __future__ import annotations

from typing import Any

from leakysm.ops.arrays import Array, quiet, require_shape, working, zeros
from leakysm.ops.registry import Operation, arrays, register


def _corners(x: Array) -> list[Array]:
    """The four positions of every window, in row-major order, each (N, H // 2, W // 2, C)."""
    require_shape("x", x, ("N", "H", "W", "C"))
    H, W = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    return [x[:, i:H:2, j:W:2, :] for i in range(2) for j in range(2)]


def _maximum(xp: Any, corners: list[Array]) -> tuple[Array, Array]:
    """The maximum, and the position (0 to 3) of the first corner that has it; a NaN is larger than all."""
    best, position = corners[0], xp.zeros_like(corners[0], dtype=xp.int32)
    for k, corner in enumerate(corners[1:], 1):
        larger = (corner > best) | (xp.isnan(corner) & ~xp.isnan(best))
        best = xp.where(larger, corner, best)
        position = xp.where(larger, k, position)
    return best, position


@quiet
def max_pool2d(x: Array) -> Array:
    """2x2 max pool, stride 2; an odd last row or column is dropped. x (N, H, W, C) float -> (N, H // 2, W // 2, C).

    A NaN in a window makes its maximum NaN. ArrayError or UserError (both ValueErrors): wrong dtype or shape.

    Examples
    --------
    >>> x = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> lk.max_pool2d(x)[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    xp, (x,), finish = working(x=x)
    return finish(_maximum(xp, _corners(x))[0])


@quiet
def max_pool2d_vjp(x: Array, dy: Array) -> Array:
    """Gradient of `max_pool2d`. dy (N, H // 2, W // 2, C) -> dx (N, H, W, C).

    Of equal values in a window the first in row-major order gets the gradient. Errors as in `max_pool2d`.

    Examples
    --------
    >>> x = np.arange(4.0).reshape(1, 2, 2, 1)
    >>> lk.max_pool2d_vjp(x, np.ones((1, 1, 1, 1)))[0, :, :, 0]
    array([[0., 0.],
           [0., 1.]])
    """
    xp, (x, dy), finish = working(x=x, dy=dy)
    _, position = _maximum(xp, _corners(x))
    require_shape("dy", dy, tuple(position.shape))
    N, H, W, C = x.shape
    h, w = H // 2, W // 2
    a, b, c, d = (xp.where(position == k, dy, xp.zeros_like(dy)) for k in range(4))
    rows = [xp.reshape(xp.stack(pair, axis=3), (N, h, 2 * w, C)) for pair in ((a, b), (c, d))]  # columns interleaved
    dx = xp.reshape(xp.stack(rows, axis=2), (N, 2 * h, 2 * w, C))  # rows interleaved
    dx = xp.concat([dx, zeros(xp, (N, 2 * h, W - 2 * w, C), x)], axis=2)
    return finish(xp.concat([dx, zeros(xp, (N, H - 2 * h, W, C), x)], axis=1))


@quiet
def first_maximum(x: Array) -> dict[str, Array]:
    """The choice that is made in every window: 0 to 3 in row-major order, (N, H // 2, W // 2, C)."""
    xp, (x,), _ = working(x=x)
    return {"argmax": _maximum(xp, _corners(x))[1]}


register(
    Operation(
        "max_pool2d", max_pool2d, max_pool2d_vjp, arrays("x"), "x (N, H, W, C); any axis may be 0", kinks=first_maximum
    )
)
