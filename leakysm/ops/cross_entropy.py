"""Softmax cross-entropy, the mean over rows.

    loss = sum over rows of (log1p(sum over j != m of exp(a_j)) - a_label) / N,      a = z - max z, m the first maximum
    dz_j = p_j dy / N for j != label,      dz_label = -(sum over j != label of p_j) dy / N

The label's entry is computed as the sum of the others, not as p - 1. So it keeps full relative accuracy in a saturated
softmax. Without rows the loss is 0.
"""

from __future__ import annotations

import numbers
from typing import Any

import array_api_compat

from leakysm.errors import ArrayError
from leakysm.ops.arrays import Array, integer_labels, one_hot, quiet, require_shape, tree_sum, working
from leakysm.ops.log_softmax import softmax_parts
from leakysm.ops.registry import Argument, Operation, arrays, register


@quiet
def cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean of log(sum of exp z) - z_label. logits z (N, M) float, labels (N,) integers in [0, M) -> scalar (0-d array).

    The result is NaN if a row holds only -inf, or holds +inf or NaN, also with one class. UserError (a ValueError) for
    a label that is not in [0, M) or a wrong shape, ArrayError for a wrong dtype. Without rows it is 0.

    Examples
    --------
    >>> round(float(lk.cross_entropy(np.array([[2.0, 0.0]]), np.array([0]))), 4)
    0.1269
    """
    xp, (logits,), finish = working(logits=logits)
    require_shape("logits", logits, ("N", "M"))
    N, M = logits.shape
    labels = integer_labels(xp, labels, logits, N, M)
    if N == 0:
        return finish(xp.sum(logits))
    at_label = one_hot(xp, labels, M)
    parts = softmax_parts(xp, logits, at_label)
    # Halves, so that a row's loss cannot overflow before it is divided by N. At the maximum 0, for autodiff too.
    half = logits / 2 - parts.largest / 2
    half_label = xp.sum(xp.where(at_label & ~parts.first, half, xp.zeros_like(half)), axis=-1)
    # A row with +inf or NaN is NaN, whatever its label.
    return finish(tree_sum(xp, (xp.log1p(parts.others[:, 0]) / 2 - half_label) / (N / 2), axis=0))


@quiet
def cross_entropy_vjp(logits: Array, labels: Array, dy: Any = 1.0) -> Array:
    """Gradient of `cross_entropy`. dy scalar -> dlogits (N, M): (p - onehot) dy / N. Errors as in `cross_entropy`.

    Examples
    --------
    >>> lk.cross_entropy_vjp(np.array([[0.0, 0.0]]), np.array([0]))
    array([[-0.5,  0.5]])
    """
    xp, (logits, *_), finish = working(logits=logits, **require_cotangent(dy))
    require_shape("logits", logits, ("N", "M"))
    N, M = logits.shape
    labels = integer_labels(xp, labels, logits, N, M)
    if N == 0:
        return finish(-logits)
    dy = xp.asarray(dy, dtype=logits.dtype, device=array_api_compat.device(logits))
    require_shape("dy", dy, ())
    parts = softmax_parts(xp, logits)
    at_label = one_hot(xp, labels, M)
    rest = tree_sum(xp, xp.where(at_label, xp.zeros_like(logits), parts.exponentials), axis=-1)[:, None]
    return finish(xp.where(at_label, -rest, parts.exponentials) / (1 + parts.others) * (dy / N))


def require_cotangent(dy: Any) -> dict[str, Array]:
    """The cotangent of a loss by its name, if it is an array: {} if it is a number; ArrayError if it is neither."""
    if array_api_compat.is_array_api_obj(dy):
        return {"dy": dy}
    if isinstance(dy, bool) or not isinstance(dy, numbers.Real):
        raise ArrayError(f"dy is {dy!r}; a number or 0-d array is expected: leave it out for 1")
    return {}


register(
    Operation(
        "cross_entropy",
        cross_entropy,
        cross_entropy_vjp,
        (*arrays("logits"), Argument("labels", "labels")),
        "logits (N, M), finite or -inf, at least one finite in a row; labels (N,) in [0, M); N may be 0",
    )
)
