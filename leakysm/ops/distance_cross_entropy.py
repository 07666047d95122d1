"""Softmax cross-entropy of negative distances to given prototypes, for any number of classes.

    z = -distance(x, c)      loss = cross_entropy(z, labels)

The distances (N, M) are never stored all at once. Prototypes are taken in groups, and each pass over the groups
computes its distances again. With a_j = z_j - max z and m the row's first maximum, there are three passes:

    1. max z, m, and the logit at the label
    2. S = sum over j != m of exp(a_j), which makes the loss: sum over rows of (log1p(S) - a_label) / N
    3. dL/dz_j = p_j / N, p_j = exp(a_j) / (1 + S), and at the label -(sum of the others' p_j) / N; the distance's vjp

Source: Snell et al. (2017), equation 2; sums over groups as in Milakov & Gimelshein (2018), arXiv:1805.02867.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import array_api_compat

from leakysm.ops.arrays import (
    Array,
    added,
    constant,
    integer_labels,
    quiet,
    require_same_width,
    require_shape,
    tree_sum,
    working,
)
from leakysm.ops.cross_entropy import cross_entropy, require_cotangent
from leakysm.ops.log_softmax import vanished
from leakysm.ops.metrics import Metric, kinks_of, require_metric
from leakysm.ops.pairs import spans
from leakysm.ops.registry import Argument, Operation, arrays, register

DISTANCES = 1 << 20  # that are held at a time, in a run of prototypes


class _Run(NamedTuple):
    """A run of prototypes: places, numbers (1, m), logits z (N, m), and whether the label is there (N, m), bool."""

    classes: slice
    numbers: Array
    logits: Array
    at_label: Array


class _Tops(NamedTuple):
    """The largest logit of each row, its first class, and the logit at the label: all (N, 1).

    largest is NaN where a row has no softmax. For autodiff it is a constant, or the logit at the label where that one
    is the first maximum, so that the gradient at a label is the sum of the others' probabilities.
    """

    largest: Array
    first: Array
    label: Array


def _runs(xp: Any, x: Array, c: Array, labels: Array, distance: Metric) -> Iterator[_Run]:
    step = max(DISTANCES // x.shape[0], 1)
    for classes in spans(c.shape[0], step):
        numbers = xp.arange(classes.start, classes.stop, dtype=labels.dtype, device=array_api_compat.device(labels))[
            None, :
        ]
        yield _Run(classes, numbers, -distance(x, c[classes, :]), labels[:, None] == numbers)


def _tops(xp: Any, runs: Iterator[_Run], labels: Array) -> _Tops:
    best: _Tops | None = None
    for run in runs:
        fixed = constant(xp, run.logits)  # and its place, for autodiff and compilers, as in softmax_parts
        largest = xp.max(fixed, axis=-1, keepdims=True)
        first = run.numbers[0, 0] + xp.astype(xp.argmax(fixed, axis=-1, keepdims=True), run.numbers.dtype)
        label = xp.sum(xp.where(run.at_label, run.logits, xp.zeros_like(run.logits)), axis=-1, keepdims=True)
        if best is None:
            best = _Tops(largest, first, label)
        else:
            first = xp.where(largest > best.largest, first, best.first)
            best = _Tops(xp.maximum(best.largest, largest), first, best.label + label)
    assert best is not None  # a label is below M, so there is a class
    finite = xp.isfinite(best.largest)
    largest = xp.where(finite, best.largest, xp.nan * xp.zeros_like(best.largest))
    return best._replace(largest=xp.where(finite & (best.first == labels[:, None]), best.label, largest))


def _others(xp: Any, runs: Iterator[_Run], tops: _Tops) -> Array:
    """S of every row, (N, 1)."""

    def sums() -> Iterator[Array]:
        for run in runs:
            on_top = run.numbers == tops.first
            powers = xp.exp(run.logits - tops.largest)
            exact = run.at_label & on_top & xp.isfinite(tops.largest)
            powers = xp.where(exact, xp.ones_like(powers), powers)
            yield tree_sum(xp, xp.where(on_top, vanished(xp, powers), powers), axis=-1)[:, None]

    return added(sums())


@quiet
def distance_cross_entropy(x: Array, c: Array, labels: Array, *, distance: Metric) -> Array:
    """Mean cross-entropy of negative distances. x (N, D), c (M, D) float, labels (N,) in [0, M) -> scalar (0-d array).

    Extra memory: a few times 2^20 distances, or a few times N, for any M. A distance beyond the dtype is +inf, and its
    class has probability 0. If all distances of a query are +inf, the loss is NaN, even with one class. Without queries
    it is 0. UserError (a ValueError) for a label outside [0, M), a wrong shape, or a distance that is not a metric.

    Examples
    --------
    >>> x, c = np.array([[0.5]]), np.array([[0.0], [2.0]])
    >>> loss = lk.distance_cross_entropy(x, c, np.array([0]), distance=lk.SquaredEuclidean())
    >>> round(float(loss), 4)
    0.1269
    """
    require_metric(distance)
    xp, (x, c), finish = working(x=x, c=c)
    require_same_width(x, c)
    N, M = x.shape[0], c.shape[0]
    labels = integer_labels(xp, labels, x, N, M)
    if N == 0:
        return finish(cross_entropy(-distance(x, c), labels))
    tops = _tops(xp, _runs(xp, x, c, labels, distance), labels)
    others = _others(xp, _runs(xp, x, c, labels, distance), tops)
    # Halves, so that a row's loss cannot overflow before it is divided by N. At the maximum 0, for autodiff too.
    half = tops.label / 2 - tops.largest / 2
    half = xp.where(tops.first == labels[:, None], xp.zeros_like(half), half)
    return finish(tree_sum(xp, (xp.log1p(others) / 2 - half)[:, 0] / (N / 2), axis=0))


@quiet
def distance_cross_entropy_vjp(
    x: Array, c: Array, labels: Array, dy: Any = 1.0, *, distance: Metric
) -> tuple[Array, Array]:
    """Gradients of `distance_cross_entropy`. dy scalar -> dx (N, D), dc (M, D).

    Errors as in `distance_cross_entropy`.

    Examples
    --------
    >>> x, c = np.array([[1.0]]), np.array([[0.0], [2.0]])
    >>> dx, dc = lk.distance_cross_entropy_vjp(x, c, np.array([0]), distance=lk.SquaredEuclidean())
    >>> dx.tolist(), dc.tolist()
    ([[2.0]], [[-1.0], [-1.0]])
    """
    require_metric(distance)
    xp, (x, c, *_), finish = working(x=x, c=c, **require_cotangent(dy))
    require_same_width(x, c)
    N, M = x.shape[0], c.shape[0]
    labels = integer_labels(xp, labels, x, N, M)
    if N == 0:
        dx, dc = distance.vjp(x, c, distance(x, c))
        return finish(dx), finish(dc)
    dy = xp.asarray(dy, dtype=x.dtype, device=array_api_compat.device(x))
    require_shape("dy", dy, ())
    tops = _tops(xp, _runs(xp, x, c, labels, distance), labels)
    others = _others(xp, _runs(xp, x, c, labels, distance), tops)
    # The label is among the others, or it is the first maximum. No digits are lost: 1 + S - e >= S, as e <= 1.
    at_label = xp.where(tops.first == labels[:, None], xp.ones_like(others), xp.exp(tops.label - tops.largest))
    rest = xp.where(tops.first == labels[:, None], others, 1 + (others - at_label))
    dc = []

    def parts() -> Iterator[Array]:
        for run in _runs(xp, x, c, labels, distance):
            powers = xp.where(run.at_label, -rest, xp.exp(run.logits - tops.largest))
            dx, part = distance.vjp(x, c[run.classes, :], -(powers / (1 + others) * (dy / N)))
            dc.append(part)
            yield dx

    dx = added(parts())
    return finish(dx), finish(xp.concat(dc, axis=0))


def _kinks(x: Array, c: Array, labels: Any, *, distance: Metric) -> dict[str, Array]:
    """The discrete choices of the distance."""
    return kinks_of(distance, x, c)


register(
    Operation(
        "distance_cross_entropy",
        distance_cross_entropy,
        distance_cross_entropy_vjp,
        (*arrays("x", "c"), Argument("labels", "labels")),
        "x (N, D), c (M, D), finite; labels (N,) in [0, M); each row of x has a finite distance; N may be 0",
        parameters=("distance",),
        kinks=_kinks,
    )
)
