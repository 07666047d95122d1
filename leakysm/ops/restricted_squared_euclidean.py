"""Restricted squared Euclidean distance: a squared Euclidean distance d whose growth a scalar function r restricts.

per="pair":        y_ij = r(sum_k (x_ik - c_jk)^2)        dy_ij/dx_i = r'(d_ij) 2 (x_i - c_j)
per="coordinate":  y_ij = sum_k r((x_ik - c_jk)^2)        dy_ij/dx_ik = r'((x_ik - c_jk)^2) 2 (x_ik - c_jk)

and dy_ij/dc_j is the negative. Source: our definition for Shen & Liu, arXiv:1811.10779, whose abstract prints
no formula.
"""

from __future__ import annotations

from leakysm.choices import PER, Per
from leakysm.errors import UserError, require_kind
from leakysm.ops.arrays import Array, quiet, require_same_width, require_shape, tree_sum, working
from leakysm.ops.pairs import both_gradients, over_pairs
from leakysm.ops.registry import Operation, arrays, register
from leakysm.ops.restriction import Restriction
from leakysm.ops.squared_euclidean import squared_euclidean


def require_per(per: str) -> None:
    """UserError unless `per` is one of the two ways to apply the restriction."""
    if per not in PER:
        raise UserError(f"per is {per!r}; 'pair' or 'coordinate' is expected: choose one")


def require_restriction(restriction: object) -> None:
    """UserError unless it is an instance of a subclass of `Restriction`."""
    expected = "an instance of a subclass of leakysm.Restriction is expected: give one"
    require_kind("restriction", restriction, Restriction, expected)


@quiet
def restricted_squared_euclidean(x: Array, c: Array, *, restriction: Restriction, per: Per = "pair") -> Array:
    """Restricted squared Euclidean distances r(d). x (N, D), c (M, D) of one float dtype -> (N, M).

    r = restriction.value of the squared distance d of a pair, or the sum of r over the squares of the coordinates.

    A squared distance beyond the dtype counts as +inf. UserError (a ValueError) unless restriction is a `Restriction`
    and per is "pair" or "coordinate".

    Examples
    --------
    >>> x, c = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]])
    >>> lk.restricted_squared_euclidean(x, c, restriction=lk.Root(threshold=4))
    array([[16.,  1.]])
    """
    require_restriction(restriction)
    require_per(per)
    xp, (x, c), finish = working(x=x, c=c)
    if per == "pair":
        return finish(restriction.value(xp, squared_euclidean(x, c)))
    require_same_width(x, c)
    return finish(over_pairs(xp, x, c, lambda a, b: tree_sum(xp, restriction.value(xp, (a - b) * (a - b)), axis=-1)))


@quiet
def restricted_squared_euclidean_vjp(
    x: Array, c: Array, dy: Array, *, restriction: Restriction, per: Per = "pair"
) -> tuple[Array, Array]:
    """Gradients of `restricted_squared_euclidean`. dy (N, M) -> dx (N, D), dc (M, D). At a kink: the left derivative.

    Errors are those of the value, and a UserError unless dy is (N, M).

    Examples
    --------
    >>> x, c = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])
    >>> lk.restricted_squared_euclidean_vjp(x, c, np.ones((1, 1)), restriction=lk.Root(threshold=4))
    (array([[-2.4, -3.2]]), array([[2.4, 3.2]]))
    """
    require_restriction(restriction)
    require_per(per)
    xp, (x, c, dy), finish = working(x=x, c=c, dy=dy)
    require_same_width(x, c)
    require_shape("dy", dy, (x.shape[0], c.shape[0]))
    chain = restriction.chain
    if per == "pair":
        d = squared_euclidean(x, c)
        dx, dc = both_gradients(xp, x, c, lambda a, b, g, d: chain(xp, d, 2 * (g * (a - b))), dy, d)
    else:
        dx, dc = both_gradients(xp, x, c, lambda a, b, g: chain(xp, (a - b) * (a - b), 2 * (g * (a - b))), dy)
    return finish(dx), finish(dc)


@quiet
def choices_at_kinks(x: Array, c: Array, *, restriction: Restriction, per: Per = "pair") -> dict[str, Array]:
    """Whether each distance is at most each kink. (N, M) for pairs; for coordinates (N, M, D), so keep them small."""
    _, (x, c), _ = working(x=x, c=c)
    d = squared_euclidean(x, c) if per == "pair" else (x[:, None, :] - c[None, :, :]) ** 2
    return {f"within {kink:g}": d <= kink for kink in restriction.kinks}


register(
    Operation(
        "restricted_squared_euclidean",
        restricted_squared_euclidean,
        restricted_squared_euclidean_vjp,
        arrays("x", "c"),
        "x (N, D), c (M, D), finite; any of N, M, D may be 0; restriction with parameters in their ranges",
        parameters=("restriction", "per"),
        kinks=choices_at_kinks,
    )
)
