"""Sums over all pairs of a row of x and a row of c, tile by tile, without an (N, M, D) array."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from leakysm.ops.arrays import Array, tree_sum, zeros

TILE = 1 << 20  # elements of one tile: 8 MB in float64


def spans(n: int, width: int) -> Iterator[slice]:
    """Slices of at most `width` that cover 0 to n."""
    for start in range(0, n, width):
        yield slice(start, min(start + width, n))


def over_pairs(xp: Any, x: Array, c: Array, f: Callable[[Array, Array], Array]) -> Array:
    """y_ij = f(x_i, c_j): f takes tiles (n, 1, D) and (1, m, D) and gives (n, m). x (N, D), c (M, D) -> (N, M)."""
    N, D = x.shape
    M = c.shape[0]
    if 0 in (N, M, D):
        return xp.sum(x[:, None, :] * c[None, :, :], axis=-1)  # zeros that depend on the arguments for autodiff
    columns = min(M, max(1, TILE // D))
    rows = max(1, TILE // (D * columns))
    bands = []
    for i in spans(N, rows):
        tiles = [f(x[i, None, :], c[None, j, :]) for j in spans(M, columns)]
        bands.append(xp.concat(tiles, axis=1))
    return xp.concat(bands, axis=0)


def sum_over_others(xp: Any, x: Array, c: Array, term: Callable[..., Array], *weights: Array) -> Array:
    """dx_ik = sum over j of term(x_ik, c_jk, w_ij, ...). x (N, D), c (M, D), each weight (N, M) -> (N, D).

    term takes tiles (n, 1, K), (1, M, K), (n, M, 1), ... and gives (n, M, K).
    """
    N, D = x.shape
    M = c.shape[0]
    if 0 in (N, M, D):
        return zeros(xp, (N, D), x)
    width = min(D, max(1, TILE // M))
    rows = max(1, TILE // (M * width))
    bands = []
    for i in spans(N, rows):
        w = [weight[i, :, None] for weight in weights]
        tiles = [tree_sum(xp, term(x[i, None, k], c[None, :, k], *w), axis=1) for k in spans(D, width)]
        bands.append(xp.concat(tiles, axis=1))
    return xp.concat(bands, axis=0)


def both_gradients(xp: Any, x: Array, c: Array, term: Callable[..., Array], *weights: Array) -> tuple[Array, Array]:
    """(dx, dc) of a distance that is symmetric in x and c: `term(a, b, ...)` is its derivative with respect to a."""
    return (
        sum_over_others(xp, x, c, term, *weights),
        sum_over_others(xp, c, x, term, *(xp.matrix_transpose(w) for w in weights)),
    )
