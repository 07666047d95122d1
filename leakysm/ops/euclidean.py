"""Euclidean distance, a control.

    d_ij = sqrt(sum_k (x_ik - c_jk)^2)        dd_ij/dx_i = (x_i - c_j) / d_ij        dd_ij/dc_j = -(x_i - c_j) / d_ij

At coincident points the gradient is 0, one of the subgradients. Differences are scaled by a power of two before they
are squared, so that the result overflows or underflows only where the exact value does.

Autodiff gives the same gradient, at any scale. Second derivatives are right for the distances that need no scaling
(`near_one`), about 1e-12 to 1e12 in float32.
"""

from __future__ import annotations

from typing import Any

from leakysm.ops.arrays import (
    Array,
    constant,
    near_one,
    power_of_two_scale,
    quiet,
    require_same_width,
    require_shape,
    tree_sum,
    working,
)
from leakysm.ops.pairs import both_gradients, over_pairs
from leakysm.ops.registry import Operation, arrays, register


def scaled_norm(xp: Any, vectors: Array) -> tuple[Array, Array]:
    """Euclidean norm times scale, and scale: the power of two that a vector is scaled by. (..., D) -> both (...)."""
    scale = power_of_two_scale(xp, xp.max(xp.abs(vectors), axis=-1))
    return length(xp, vectors * scale[..., None]), scale


def length(xp: Any, scaled: Array) -> Array:
    """Euclidean norm of vectors whose squares stay in range; its derivative at 0 is 0. (..., D) -> (...)."""
    total = tree_sum(xp, scaled * scaled, axis=-1)
    nothing = total == 0
    return xp.where(nothing, xp.zeros_like(total), xp.sqrt(xp.where(nothing, xp.ones_like(total), total)))


def norm(xp: Any, vectors: Array) -> Array:
    """Euclidean norm, which overflows or underflows only where the exact one does. (..., D) -> (...)."""
    scaled, scale = scaled_norm(xp, vectors)
    return scaled / scale


@quiet
def euclidean(x: Array, c: Array) -> Array:
    """Euclidean distances sqrt(sum_k (x_k - c_k)^2). x (N, D), c (M, D) of one float dtype -> (N, M).

    ArrayError or UserError (both ValueErrors) unless all arrays are floats of one dtype, of shapes that fit.

    Examples
    --------
    >>> x, c = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]])
    >>> lk.euclidean(x, c)
    array([[5., 1.]])
    """
    xp, (x, c), finish = working(x=x, c=c)
    require_same_width(x, c)
    fixed = constant(xp, x), constant(xp, c)
    y = over_pairs(xp, *fixed, lambda a, b: norm(xp, a - b))
    return finish(y if fixed[0] is x else y + _gradient(xp, (x, c), fixed))


def _gradient(xp: Any, points: tuple[Array, Array], fixed: tuple[Array, Array]) -> Array:
    """Zeros (N, M) that have the distances' gradient for autodiff; `fixed` is `points` without gradients.

    Autodiff through y = |s d| / s would first form dy / s, which may overflow or underflow, and then s (dy / s). So
    s d is replaced by a constant plus d - d, which is 0 and has the derivative 1.
    """
    D = points[0].shape[1]

    def scaled(a: Array, b: Array) -> Array:
        a, fixed_a, b, fixed_b = a[..., :D], a[..., D:], b[..., :D], b[..., D:]
        difference = fixed_a - fixed_b
        scale = near_one(xp, xp.max(xp.abs(difference), axis=-1, keepdims=True))
        moved = difference * scale + ((a - fixed_a) - (b - fixed_b))
        return length(xp, xp.where(scale == 1, a - b, moved))

    x, c = (xp.concat([a, b], axis=1) for a, b in zip(points, fixed, strict=True))
    lengths = over_pairs(xp, x, c, scaled)
    return xp.where(xp.isfinite(lengths), lengths - constant(xp, lengths), xp.zeros_like(lengths))


@quiet
def euclidean_vjp(x: Array, c: Array, dy: Array) -> tuple[Array, Array]:
    """Gradients of `euclidean`. dy (N, M) -> dx (N, D), dc (M, D); 0 from a pair of coincident points.

    Errors as in `euclidean`.

    Examples
    --------
    >>> x, c = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])
    >>> lk.euclidean_vjp(x, c, np.ones((1, 1)))
    (array([[-0.6, -0.8]]), array([[0.6, 0.8]]))
    """
    xp, (x, c, dy), finish = working(x=x, c=c, dy=dy)
    require_same_width(x, c)
    require_shape("dy", dy, (x.shape[0], c.shape[0]))
    length = over_pairs(xp, x, c, lambda a, b: scaled_norm(xp, a - b)[0])
    scale = over_pairs(xp, x, c, lambda a, b: scaled_norm(xp, a - b)[1])
    length = xp.where(length == 0, xp.ones_like(length), length)  # coincident: 0 / 1
    dx, dc = both_gradients(xp, x, c, lambda a, b, g, s, r: g * ((a - b) * s / r), dy, scale, length)
    return finish(dx), finish(dc)


@quiet
def coincident(x: Array, c: Array) -> dict[str, Array]:
    """Where the distance has its corner: pairs of coincident points, (N, M)."""
    _, (x, c), _ = working(x=x, c=c)
    return {"coincident": euclidean(x, c) == 0}


register(
    Operation(
        "euclidean",
        euclidean,
        euclidean_vjp,
        arrays("x", "c"),
        "x (N, D), c (M, D), finite; any of N, M, D may be 0",
        kinks=coincident,
    )
)
