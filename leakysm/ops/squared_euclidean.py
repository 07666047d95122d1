"""Squared Euclidean distance.

    d_ij = sum_k (x_ik - c_jk)^2        dd_ij/dx_i = 2 (x_i - c_j)        dd_ij/dc_j = -2 (x_i - c_j)

Source: Snell et al., "Prototypical Networks for Few-shot Learning" (2017). Computed from differences, so
that near points keep their full relative accuracy, and equal points have exactly the distance 0 and the gradient 0.
"""

from __future__ import annotations

from leakysm.ops.arrays import Array, quiet, require_same_width, require_shape, tree_sum, working
from leakysm.ops.pairs import both_gradients, over_pairs
from leakysm.ops.registry import Operation, arrays, register


@quiet
def squared_euclidean(x: Array, c: Array) -> Array:
    """Squared Euclidean distances sum_k (x_k - c_k)^2. x (N, D), c (M, D) of one float dtype -> (N, M).

    A distance beyond the dtype is +inf. Source: Snell et al. (2017).

    ArrayError or UserError (both ValueErrors) unless all arrays are floats of one dtype, of shapes that fit.

    Examples
    --------
    >>> x, c = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]])
    >>> lk.squared_euclidean(x, c)
    array([[25.,  1.]])
    """
    xp, (x, c), finish = working(x=x, c=c)
    require_same_width(x, c)
    return finish(over_pairs(xp, x, c, lambda a, b: tree_sum(xp, (a - b) * (a - b), axis=-1)))


@quiet
def squared_euclidean_vjp(x: Array, c: Array, dy: Array) -> tuple[Array, Array]:
    """Gradients of `squared_euclidean`. dy (N, M) -> dx (N, D), dc (M, D). Errors as in `squared_euclidean`.

    Examples
    --------
    >>> x, c = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])
    >>> lk.squared_euclidean_vjp(x, c, np.ones((1, 1)))
    (array([[-6., -8.]]), array([[6., 8.]]))
    """
    xp, (x, c, dy), finish = working(x=x, c=c, dy=dy)
    require_same_width(x, c)
    require_shape("dy", dy, (x.shape[0], c.shape[0]))
    dx, dc = both_gradients(xp, x, c, lambda a, b, g: 2 * (g * (a - b)), dy)
    return finish(dx), finish(dc)


register(
    Operation(
        "squared_euclidean",
        squared_euclidean,
        squared_euclidean_vjp,
        arrays("x", "c"),
        "x (N, D), c (M, D), finite; any of N, M, D may be 0",
    )
)
