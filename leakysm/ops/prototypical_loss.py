"""The prototypical loss of an episode, on embeddings: cross-entropy of the negative distances to the prototypes.

    c = prototypes(support)      logits = -distance(query, c)      loss = cross_entropy(logits, query_labels)

Source: Snell et al. (2017), equation 2 and algorithm 1. The number of classes is the largest support label plus 1.
"""

from __future__ import annotations

from typing import Any

from leakysm.errors import UserError
from leakysm.ops.arrays import Array, integer_labels, known, label_span, quiet, require_shape, working
from leakysm.ops.cross_entropy import cross_entropy, cross_entropy_vjp, require_cotangent
from leakysm.ops.metrics import Metric, kinks_of, require_metric
from leakysm.ops.prototypes import prototypes, prototypes_vjp
from leakysm.ops.registry import Argument, Operation, register


def _classes(xp: Any, support: Array, given: Any) -> int:
    """The number of classes; UserError where a compiler traces the labels, and it is not known."""
    require_shape("support", support, ("N", "D"))
    if support.shape[0] == 0:
        raise UserError("support has no examples; at least 1 of each class is expected: give a support example")
    labels = integer_labels(xp, given, support, support.shape[0], 1 << 31, name="support_labels")
    span = label_span(xp, given if known(given) is not None else labels)
    if span is None:
        raise UserError(
            "support_labels are traced, so the number of classes is unknown; constants are expected: "
            "close the compiled function over them, or make them a static tuple"
        )
    return span[1] + 1


@quiet
def prototypical_loss(
    support: Array, support_labels: Array, query: Array, query_labels: Array, *, distance: Metric
) -> Array:
    """Mean cross-entropy of the negative distances from queries to prototypes (Snell et al. 2017).

    support (S, D), query (Q, D) float; labels (S,), (Q,) integers from 0 -> scalar (0-d array).

    A distance that overflows is +inf, and has probability 0. If all distances of a query overflow, the loss is NaN,
    also with one class. UserError (a ValueError) for a class without a shot, and for a query label without a class; and
    if a compiler (jax.jit) traces the support labels, because their values say how many classes there are.

    Examples
    --------
    >>> support, query = np.array([[0.0], [2.0]]), np.array([[0.5]])
    >>> loss = lk.prototypical_loss(support, np.array([0, 1]), query, np.array([0]), distance=lk.SquaredEuclidean())
    >>> round(float(loss), 4)
    0.1269
    """
    require_metric(distance)
    xp, (support, query), finish = working(support=support, query=query)
    n_classes = _classes(xp, support, support_labels)
    centres = prototypes(support, support_labels, n_classes)
    return finish(cross_entropy(-distance(query, centres), query_labels))


@quiet
def prototypical_loss_vjp(
    support: Array, support_labels: Array, query: Array, query_labels: Array, dy: Any = 1.0, *, distance: Metric
) -> tuple[Array, Array]:
    """Gradients of `prototypical_loss`. dy scalar -> dsupport (S, D), dquery (Q, D).

    Errors as in `prototypical_loss`.

    Examples
    --------
    >>> episode = np.array([[0.0], [2.0]]), np.array([0, 1]), np.array([[1.0]]), np.array([0])
    >>> dsupport, dquery = lk.prototypical_loss_vjp(*episode, distance=lk.SquaredEuclidean())
    >>> dsupport.tolist(), dquery.tolist()
    ([[-1.0], [-1.0]], [[2.0]])
    """
    require_metric(distance)
    xp, (support, query, *given), finish = working(support=support, query=query, **require_cotangent(dy))
    n_classes = _classes(xp, support, support_labels)
    centres = prototypes(support, support_labels, n_classes)
    dlogits = cross_entropy_vjp(-distance(query, centres), query_labels, *(given or [dy]))
    dquery, dcentres = distance.vjp(query, centres, -dlogits)
    return finish(prototypes_vjp(support, support_labels, n_classes, dcentres)), finish(dquery)


def _kinks(
    support: Array, support_labels: Any, query: Array, query_labels: Any, *, distance: Metric
) -> dict[str, Array]:
    """The discrete choices of the distance, for the distances from queries to prototypes."""
    xp, (support, query), _ = working(support=support, query=query)
    centres = prototypes(support, support_labels, _classes(xp, support, support_labels))
    return kinks_of(distance, query, centres)


register(
    Operation(
        "prototypical_loss",
        prototypical_loss,
        prototypical_loss_vjp,
        (
            Argument("support"),
            Argument("support_labels", "labels"),
            Argument("query"),
            Argument("query_labels", "labels"),
        ),
        "support (S, D), query (Q, D), finite; every class from 0 to the largest support label at least once; "
        "each query has a finite distance",
        parameters=("distance",),
        kinks=_kinks,
    )
)
