"""Leaky squared Euclidean distance: a squared Euclidean distance d whose growth is restricted beyond a threshold.

    r(d) = d                 for d <= t          r'(d) = 1
           t + s (d - t)     for d > t           r'(d) = s

per="pair":        y_ij = r(sum_k (x_ik - c_jk)^2)        dy_ij/dx_i = r'(d_ij) 2 (x_i - c_j)
per="coordinate":  y_ij = sum_k r((x_ik - c_jk)^2)        dy_ij/dx_ik = r'((x_ik - c_jk)^2) 2 (x_ik - c_jk)

and dy_ij/dc_j is the negative. Source: Shen & Liu, arXiv:1811.10779. This is our definition; the abstract prints none.
t = inf or s = 1 is squared Euclidean, bit for bit; t = 0 is s d, pure scaling.
"""

from __future__ import annotations

from leakysm.choices import PER, Per
from leakysm.errors import UserError
from leakysm.ops.arrays import Array, quiet, require_same_width, require_shape, tree_sum, working
from leakysm.ops.pairs import both_gradients, over_pairs
from leakysm.ops.registry import Operation, arrays, register
from leakysm.ops.restriction import Leak
from leakysm.ops.squared_euclidean import squared_euclidean


def require_per(per: str) -> None:
    """UserError unless `per` is one of the two ways to apply the restriction."""
    if per not in PER:
        raise UserError(f"per is {per!r}; 'pair' or 'coordinate' is expected: choose one")


@quiet
def leaky_squared_euclidean(x: Array, c: Array, *, threshold: float, slope: float, per: Per = "pair") -> Array:
    """Leaky squared Euclidean distances. x (N, D), c (M, D) of one float dtype -> (N, M). Beyond the dtype: +inf.

    UserError (a ValueError) unless 0 <= threshold <= inf, 0 < slope <= 1 and per is "pair" or "coordinate".
    """
    leak = Leak(threshold, slope)
    require_per(per)
    xp, (x, c), finish = working(x=x, c=c)
    if per == "pair":
        return finish(leak.value(xp, squared_euclidean(x, c)))
    require_same_width(x, c)
    return finish(over_pairs(xp, x, c, lambda a, b: tree_sum(xp, leak.value(xp, (a - b) * (a - b)), axis=-1)))


@quiet
def leaky_squared_euclidean_vjp(
    x: Array, c: Array, dy: Array, *, threshold: float, slope: float, per: Per = "pair"
) -> tuple[Array, Array]:
    """Gradients of `leaky_squared_euclidean`. dy (N, M) -> dx (N, D), dc (M, D). At the kink: the left derivative."""
    leak = Leak(threshold, slope)
    require_per(per)
    xp, (x, c, dy), finish = working(x=x, c=c, dy=dy)
    require_same_width(x, c)
    require_shape("dy", dy, (x.shape[0], c.shape[0]))
    if per == "pair":
        d = squared_euclidean(x, c)
        dx, dc = both_gradients(xp, x, c, lambda a, b, g, d: leak.chain(xp, d, 2 * (g * (a - b))), dy, d)
    else:
        dx, dc = both_gradients(xp, x, c, lambda a, b, g: leak.chain(xp, (a - b) * (a - b), 2 * (g * (a - b))), dy)
    return finish(dx), finish(dc)


@quiet
def within_threshold(x: Array, c: Array, *, threshold: float, slope: float, per: Per = "pair") -> dict[str, Array]:
    """The choices made at the kink: (N, M) for pairs; for coordinates (N, M, D), so for small cases only."""
    _, (x, c), _ = working(x=x, c=c)
    leak = Leak(threshold, slope)
    if per == "pair":
        return {"within_threshold": leak.within(squared_euclidean(x, c))}
    return {"within_threshold": leak.within((x[:, None, :] - c[None, :, :]) ** 2)}


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
