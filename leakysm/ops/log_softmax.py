"""Log-softmax of rows of logits.

    a_j = z_j - max z      y_j = a_j - log1p(sum over j != m of exp(a_j)), m the row's first maximum
    dz_j = dy_j - p_j sum_i dy_i,      p_j = exp(a_j) / (1 + sum over j != m of exp(a_j))

A logit of -inf has probability 0. A row that holds only -inf, or holds +inf or NaN, gives NaN, also with one class.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import array_api_compat

from leakysm.ops.arrays import Array, constant, quiet, require_shape, tree_sum, working
from leakysm.ops.registry import Operation, arrays, register


class Softmax(NamedTuple):
    """The parts of a softmax. All are (N, M), except largest and others, which are (N, 1)."""

    largest: Array  # max z; NaN where the row has no softmax
    exponentials: Array  # exp(a_j); exactly 1 at the maximum
    others: Array  # sum over j != m of exp(a_j)
    first: Array  # (N, M, bool): whether it is m, the row's first maximum


def softmax_parts(xp: Any, logits: Array, label: Array | None = None) -> Softmax:
    """The parts of a softmax of (N, M) logits, M >= 1, without cancellation: 1 + others is the denominator.

    For autodiff `largest` is a constant, except where the label (N, M, bool) is the first maximum: there it is the
    logit at the label. So the gradient at a label is the sum of the other probabilities, not a small difference of two
    numbers near 1.
    """
    # The maximum is known by its place, never by comparing it with the logits, as its derivative would: a compiler may
    # compute the logits again, with other roundings.
    fixed = constant(xp, logits)
    index = xp.arange(logits.shape[-1], device=array_api_compat.device(logits))[None, :]
    first = index == xp.argmax(fixed, axis=-1, keepdims=True)
    largest = xp.max(fixed, axis=-1, keepdims=True)
    largest = xp.where(xp.isfinite(largest), largest, xp.nan * xp.zeros_like(largest))
    if label is None:
        exponentials = xp.exp(logits - largest)
    else:
        label = label & first & xp.isfinite(largest)
        at_label = xp.sum(xp.where(label, logits, xp.zeros_like(logits)), axis=-1, keepdims=True)
        largest = xp.where(xp.any(label, axis=-1, keepdims=True), at_label, largest)
        exponentials = xp.where(label, xp.ones_like(logits), xp.exp(logits - largest))
    others = tree_sum(xp, xp.where(first, vanished(xp, exponentials), exponentials), axis=-1)
    return Softmax(largest, exponentials, others[:, None], first)


def vanished(xp: Any, values: Array) -> Array:
    """0 for each finite value; for autodiff, the derivative of each 0 is that of the value."""
    return values - constant(xp, values)


@quiet
def log_softmax(logits: Array) -> Array:
    """Log-probabilities z_j - log(sum of exp z). logits z (N, M) float -> (N, M).

    A row that holds only -inf, or holds +inf or NaN, gives NaN. ArrayError or UserError: wrong dtype or shape.

    Examples
    --------
    >>> np.round(lk.log_softmax(np.array([[0.0, 0.0]])), 4)
    array([[-0.6931, -0.6931]])
    """
    xp, (logits,), finish = working(logits=logits)
    require_shape("logits", logits, ("N", "M"))
    if 0 in logits.shape:
        return finish(-logits)
    parts = softmax_parts(xp, logits)
    return finish((logits - parts.largest) - xp.log1p(parts.others))


@quiet
def log_softmax_vjp(logits: Array, dy: Array) -> Array:
    """Gradient of `log_softmax`. dy (N, M) -> dlogits (N, M): dy_j - p_j sum dy. Errors as in `log_softmax`.

    Examples
    --------
    >>> lk.log_softmax_vjp(np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]]))
    array([[ 0.5, -0.5]])
    """
    xp, (logits, dy), finish = working(logits=logits, dy=dy)
    require_shape("logits", logits, ("N", "M"))
    require_shape("dy", dy, tuple(logits.shape))
    if 0 in logits.shape:
        return finish(-dy)
    parts = softmax_parts(xp, logits)
    probabilities = parts.exponentials / (1 + parts.others)
    return finish(dy - probabilities * tree_sum(xp, dy, axis=-1)[:, None])


register(
    Operation(
        "log_softmax",
        log_softmax,
        log_softmax_vjp,
        arrays("logits"),
        "logits (N, M), finite or -inf, at least one finite in a row; N, M may be 0",
    )
)
