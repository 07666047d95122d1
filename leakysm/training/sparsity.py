"""The early-gradient sparsity figures of one training step (docs/experiments.md).

All gradients are those of the *sum* of the queries' losses, so that no figure depends on the number of queries.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

Array = Any

FIGURES = (
    "vanished_distance_gradients",
    "vanished_query_gradients",
    "mean_query_gradient",
    "mean_distance",
    "mean_max_probability",
)
VANISHED = 1e-3  # |dL/dd| below this counts as vanished
FAINT = 1e-2  # |dL/dz| below this fraction of the batch's largest counts as vanished


def sparsity(distances: Array, ddistances: Array, dquery: Array) -> Array:
    """The five FIGURES in their order, as one array (5,).

    distances (N, M); ddistances (N, M) and dquery (N, D): gradients of the mean loss over the N queries.
    """
    xp = array_namespace(distances, ddistances, dquery)
    n = distances.shape[0]
    lengths = _row_lengths(dquery * n, xp)
    logits = -distances
    above = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    figures = (
        _fraction(xp.abs(ddistances * n) < VANISHED, lengths.dtype, xp),
        _fraction(lengths < FAINT * xp.max(lengths), lengths.dtype, xp),
        xp.mean(lengths),
        xp.mean(distances),
        xp.mean(1 / xp.sum(above, axis=1)),
    )
    return xp.stack(figures)


def _fraction(mask: Array, dtype: Any, xp: Any) -> Array:
    return xp.mean(xp.astype(mask, dtype))


def _row_lengths(x: Array, xp: Any) -> Array:
    """Euclidean norms of the rows of x (N, D), scaled so that no square overflows or vanishes."""
    largest = xp.max(xp.abs(x), axis=1)
    scale = xp.where(largest > 0, largest, xp.ones_like(largest))
    return scale * xp.sqrt(xp.sum((x / scale[:, None]) ** 2, axis=1))
