"""Leaky squared Euclidean distance: a squared Euclidean distance d whose growth is restricted beyond a threshold.

    r(d) = d                 for d <= t          r'(d) = 1
           t + s (d - t)     for d > t           r'(d) = s

per="pair":        y_ij = r(sum_k (x_ik - c_jk)^2)        dy_ij/dx_i = r'(d_ij) 2 (x_i - c_j)
per="coordinate":  y_ij = sum_k r((x_ik - c_jk)^2)        dy_ij/dx_ik = r'((x_ik - c_jk)^2) 2 (x_ik - c_jk)

and dy_ij/dc_j is the negative. Source: Shen & Liu, arXiv:1811.10779. This is our definition; the abstract prints none.
t = inf or s = 1 is squared Euclidean, bit for bit; t = 0 is s d, pure scaling.
"""

from __future__ import annotations

from leakysm.choices import Per
from leakysm.ops.arrays import Array
from leakysm.ops.registry import Operation, arrays, register
from leakysm.ops.restricted_squared_euclidean import (
    choices_at_kinks,
    restricted_squared_euclidean,
    restricted_squared_euclidean_vjp,
)
from leakysm.ops.restriction import Leak


def leaky_squared_euclidean(x: Array, c: Array, *, threshold: float, slope: float, per: Per = "pair") -> Array:
    """Leaky squared Euclidean distances. x (N, D), c (M, D) of one float dtype -> (N, M).

    With d the squared distance of a pair (or the square of each coordinate, summed after): d if d <= threshold, else
    threshold + slope (d - threshold). Our definition for Shen & Liu, arXiv:1811.10779. Beyond the dtype it is +inf.

    UserError (a ValueError) unless 0 <= threshold <= inf, 0 < slope <= 1 and per is "pair" or "coordinate".

    Examples
    --------
    >>> x, c = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]])
    >>> lk.leaky_squared_euclidean(x, c, threshold=1, slope=0.5)
    array([[13.,  1.]])
    """
    return restricted_squared_euclidean(x, c, restriction=Leak(threshold, slope), per=per)


def leaky_squared_euclidean_vjp(
    x: Array, c: Array, dy: Array, *, threshold: float, slope: float, per: Per = "pair"
) -> tuple[Array, Array]:
    """Gradients of `leaky_squared_euclidean`. dy (N, M) -> dx (N, D), dc (M, D). At the kink: the left derivative.

    Errors are those of the value, and a UserError unless dy is (N, M).

    Examples
    --------
    >>> x, c = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])
    >>> lk.leaky_squared_euclidean_vjp(x, c, np.ones((1, 1)), threshold=1, slope=0.5)
    (array([[-3., -4.]]), array([[3., 4.]]))
    """
    return restricted_squared_euclidean_vjp(x, c, dy, restriction=Leak(threshold, slope), per=per)


def within_threshold(x: Array, c: Array, *, threshold: float, slope: float, per: Per = "pair") -> dict[str, Array]:
    """The choices made at the kink: (N, M) for pairs; for coordinates (N, M, D), so for small cases only."""
    return choices_at_kinks(x, c, restriction=Leak(threshold, slope), per=per)


register(
    Operation(
        "leaky_squared_euclidean",
        leaky_squared_euclidean,
        leaky_squared_euclidean_vjp,
        arrays("x", "c"),
        "x (N, D), c (M, D), finite; any of N, M, D may be 0; 0 <= threshold <= inf, 0 < slope <= 1",
        parameters=("threshold", "slope", "per"),
        kinks=within_threshold,
    )
)
