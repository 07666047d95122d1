"""Cosine distance, a control.

    u_i = x_i / |x_i|    v_j = c_j / |c_j|    y_ij = 1 - u_i . v_j
    dy_ij/dx_i = -(v_j - (u_i . v_j) u_i) / |x_i|        dy_ij/dc_j = -(u_i - (u_i . v_j) v_j) / |c_j|

With a zero vector: distance 1, gradient 0. Vectors are scaled by a power of two before they are squared.
"""

from __future__ import annotations

from typing import Any

from leakysm.ops.arrays import Array, quiet, require_same_width, require_shape, tree_sum, working, zeros
from leakysm.ops.euclidean import scaled_norm
from leakysm.ops.pairs import both_gradients, over_pairs
from leakysm.ops.registry import Operation, arrays, register


def _unit(xp: Any, x: Array) -> tuple[Array, Array, Array]:
    """Unit vectors, the power of two, and the scaled norm: u = x * scale / norm. A zero vector: u = 0, scale 0."""
    if x.shape[1] == 0:
        none = zeros(xp, (x.shape[0], 1), x)
        return x, none, none + 1
    norm, scale = (a[:, None] for a in scaled_norm(xp, x))
    scale = xp.where(norm == 0, xp.zeros_like(scale), scale)
    divisor = xp.where(norm == 0, xp.ones_like(norm), norm)
    return x * scale / divisor, scale, divisor


def _cosine(xp: Any, u: Array, v: Array) -> Array:
    return over_pairs(xp, u, v, lambda a, b: tree_sum(xp, a * b, axis=-1))


@quiet
def cosine_distance(x: Array, c: Array) -> Array:
    """Cosine distances 1 - x.c / (|x| |c|). x (N, D), c (M, D) of one float dtype -> (N, M), in [0, 2] up to rounding.

    The distance of a zero vector is 1.

    ArrayError or UserError (both ValueErrors) unless all arrays are floats of one dtype, of shapes that fit.

    Examples
    --------
    >>> x, c = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0], [3.0, 0.0]])
    >>> lk.cosine_distance(x, c)
    array([[1., 0.]])
    """
    xp, (x, c), finish = working(x=x, c=c)
    require_same_width(x, c)
    return finish(1 - _cosine(xp, _unit(xp, x)[0], _unit(xp, c)[0]))


@quiet
def cosine_distance_vjp(x: Array, c: Array, dy: Array) -> tuple[Array, Array]:
    """Gradients of `cosine_distance`. dy (N, M) -> dx (N, D), dc (M, D); 0 where either vector is zero.

    Errors as in `cosine_distance`.

    Examples
    --------
    >>> x, c = np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]])
    >>> lk.cosine_distance_vjp(x, c, np.ones((1, 1)))
    (array([[-0.0448,  0.0336]]), array([[ 0.0336, -0.0448]]))
    """
    xp, (x, c, dy), finish = working(x=x, c=c, dy=dy)
    require_same_width(x, c)
    require_shape("dy", dy, (x.shape[0], c.shape[0]))
    u, u_scale, u_norm = _unit(xp, x)
    v, v_scale, v_norm = _unit(xp, c)
    du, dv = both_gradients(xp, u, v, lambda a, b, g, cos: -g * (b - cos * a), dy, _cosine(xp, u, v))
    return finish(du / u_norm * u_scale), finish(dv / v_norm * v_scale)


register(
    Operation(
        "cosine_distance",
        cosine_distance,
        cosine_distance_vjp,
        arrays("x", "c"),
        "x (N, D), c (M, D), finite; any of N, M, D may be 0; zero vectors allowed",
    )
)
