"""Euclidean distance, a control.

    d_ij = sqrt(sum_k (x_ik - c_jk)^2)        dd_ij/dx_i = (x_i - c_j) / d_ij        dd_ij/dc_j = -(x_i - c_j) / d_ij

At coincident points the gradient is 0, one of the subgradients. Differences are scaled by a power of two before they
are squared, so that the result overflows or underflows only where the exact value does.
"""

from __future__ import annotations

from typing import Any

from leakysm.ops.arrays import Array, power_of_two_scale, quiet, require_same_width, require_shape, tree_sum, working
from leakysm.ops.pairs import both_gradients, over_pairs
from leakysm.ops.registry import Operation, arrays, register


def scaled_norm(xp: Any, vectors: Array) -> tuple[Array, Array]:
    """Euclidean norm times scale, and scale: the power of two that a vector is scaled by. (..., D) -> both (...)."""
    scale = power_of_two_scale(xp, xp.max(xp.abs(vectors), axis=-1))
    scaled = vectors * scale[..., None]
    return xp.sqrt(tree_sum(xp, scaled * scaled, axis=-1)), scale


def norm(xp: Any, vectors: Array) -> Array:
    """Euclidean norm, which overflows or underflows only where the exact one does. (..., D) -> (...)."""
    scaled, scale = scaled_norm(xp, vectors)
    return scaled / scale


@quiet
def euclidean(x: Array, c: Array) -> Array:
    """Euclidean distances. x (N, D), c (M, D) of one float dtype -> (N, M).

    ArrayError or UserError (both ValueErrors) for arrays that are no floats of one dtype, or shapes that do not fit.
    """
    xp, (x, c), finish = working(x=x, c=c)
    require_same_width(x, c)
    return finish(over_pairs(xp, x, c, lambda a, b: norm(xp, a - b)))


@quiet
def euclidean_vjp(x: Array, c: Array, dy: Array) -> tuple[Array, Array]:
    """Gradients of `euclidean`. dy (N, M) -> dx (N, D), dc (M, D); 0 from a pair of coincident points."""
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
