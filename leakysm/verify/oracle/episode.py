"""Prototypes and the prototypical loss (Snell et al. 2017) in 50-digit arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from leakysm.verify.bounds import Exact
from leakysm.verify.oracle.choices import Doubt, OpenGradient, spanned
from leakysm.verify.oracle.distances import along, both
from leakysm.verify.oracle.loss import Softmax, loss_gradient, mean_loss
from leakysm.verify.oracle.restricted import METRICS
from leakysm.verify.precise import Array, Magnitude, exact, largest, magnitude, only, rounded, total, zeros


def prototypes(z: Any, labels: Any, n_classes: int) -> tuple[Exact, ...]:
    """The mean of each class's rows (n_classes, D). Terms: z_i / n of the class."""
    means, scales, counts = _class_means(exact(z), np.asarray(labels), n_classes)
    return (Exact.of(means, scales, max([*counts, 1]) + 1.0),)


def _class_means(z: Array, labels: Any, n_classes: int) -> tuple[Array, Magnitude, list[int]]:
    members, of_z, empty = [labels == j for j in range(n_classes)], magnitude(z), zeros((0, z.shape[1]))
    counts = [int(np.sum(rows)) for rows in members]
    means, scales = (
        np.stack([total(a[rows], 0) / n for rows, n in zip(members, counts, strict=True)]) if members else empty
        for a in (z, of_z)
    )
    return means, scales, counts


def prototypes_vjp(z: Any, labels: Any, n_classes: int, dy: Any) -> tuple[Exact, ...]:
    """dz_i = dy of its class / shots of its class."""
    labels, dy = np.asarray(labels), exact(dy)
    share = _shares(labels, n_classes)
    return (Exact.of(dy[labels] * share, magnitude(dy)[labels] * magnitude(share), 2.0),)


def _shares(labels: Any, n_classes: int) -> Array:
    """1 / shots of each example's class, (S, 1)."""
    shots = np.maximum(np.bincount(labels, minlength=n_classes), 1)[labels]
    return exact(1.0) / exact(shots.astype(np.float64))[:, None] if len(labels) else zeros((0, 1))


SHARE = 0.25  # the scales before the softmax are multiplied by it; their roundings count 1 / SHARE times in the bounds


class Queries:
    """The steps of `distance_cross_entropy`: distances, softmax; each step's rounding is the next step's `spread`.

    distance: an object with `parameters`; METRICS has its `operation`, or the name of its class if it has none. The
    prototypes c (M, D) may be off by eps * spread, plus `drop` smallest normal numbers. Prototypes and distances are
    rounded only a few times, the softmax more often: so their scales are multiplied by SHARE, and the bounds count
    their roundings 1 / SHARE times.
    """

    def __init__(
        self,
        query: Any,
        c: Any,
        labels: Any,
        *,
        distance: Any,
        spread: Magnitude | None = None,
        drop: Magnitude | None = None,
    ):
        self.query_labels = np.asarray(labels)
        self.spread = np.zeros(np.shape(c)) if spread is None else spread
        self.drop = np.zeros(np.shape(c)) if drop is None else drop
        name = distance.operation if distance.is_operation else type(distance).__name__
        self.metric = METRICS[name](query, c, **distance.parameters)
        self.distance_scale = SHARE * self.metric.scale + self._condition(self.spread)
        self.distance_under = self.metric.under + self._condition(self.drop)
        self.rows = Softmax(-self.metric.value, self.distance_scale, rounded(self.distance_under))

    def _condition(self, doubt: Magnitude) -> Magnitude:
        """The change (N, M) of the distances by doubt about the prototypes; 0 for exact ones."""
        return self.metric.value_condition(doubt) if np.any(doubt) else np.zeros(self.metric.value.shape)


class Episode(Queries):
    """The steps of the prototypical loss: prototypes, distances, softmax."""

    def __init__(self, support: Any, support_labels: Any, query: Any, query_labels: Any, *, distance: Any):
        self.labels = np.asarray(support_labels)
        self.n_classes = int(self.labels.max()) + 1
        c, scales, counts = _class_means(exact(support), self.labels, self.n_classes)
        several = np.asarray(counts)[:, None] > 1
        spread = SHARE * only(several, scales)  # the mean of one is exact
        drop = np.where(several, max(counts) + 1.0, np.zeros(c.shape))  # what it may lose by underflow
        super().__init__(query, c, query_labels, distance=distance, spread=spread, drop=drop)


def queries_loss(episode: Queries) -> tuple[Exact, ...]:
    """Cross-entropy of -distances. Nothing is promised where all distances of a query overflow."""
    (loss,) = mean_loss(episode.rows, episode.query_labels)
    reach = largest(episode.metric.reach, (0, 1))
    return (Exact.of(loss.value, loss.scale, loss.under, np.asarray(reach, dtype=object)),)


class _Gradient:
    """dL/dd (Q, M, 1) with its scale and underflow, and the metric's Jacobian."""

    def __init__(self, episode: Queries, dy: Any):
        logits = loss_gradient(episode.rows, episode.query_labels, dy)
        self.jacobian, spread, drop = episode.metric.jacobian(), episode.spread, episode.drop
        self.value, self.scale = -logits.value[..., None], magnitude(logits.scale)[..., None]
        self.under, self.size = logits.under[..., None], magnitude(self.value)
        self.drift = self.size * episode.metric.jacobian_condition(spread) if np.any(spread) else None
        self.drop = self.size * episode.metric.jacobian_condition(drop) if np.any(drop) else 0
        self.slack = logits.slack[..., None]

    def both(self) -> Iterator[tuple[Array, Magnitude, Magnitude, Any]]:
        """Value, scale, underflow and slack of dquery (Q, D), then of the prototypes' gradient (M, D)."""
        for side in self.jacobian.sides(self.value, self.scale):
            axis, j, value = side.axis, side.jacobian, side.sum
            lost = along(self.under * rounded(j.scale), axis, value.shape)
            lost = lost + along(self.size * j.under + 3 * j.last + self.drop, axis, value.shape)
            slack = along(self.slack * rounded(j.scale), axis, value.shape)
            yield value, total(side.sizes if self.drift is None else side.sizes + self.drift, axis), lost, slack


def prototypical_loss_vjp(episode: Episode, dy: Any = 1.0) -> tuple[Exact, ...]:
    """dsupport (through the prototypes) and dquery. dL/dd = -dL/dlogits; then the metric's and the mean's vjp."""
    gradient = _Gradient(episode, dy)
    (dquery, dquery_scale, dquery_under, dquery_slack), (dc, dc_scale, dc_under, dc_slack) = gradient.both()
    rows = np.broadcast_to(largest(episode.metric.reach, 1)[:, None], dquery.shape)
    everything = largest(episode.metric.reach, (0, 1))  # a prototype's gradient sums over all rows
    share, labels = _shares(episode.labels, episode.n_classes), episode.labels
    size = magnitude(share)
    dsupport = Exact.of(dc[labels] * share, dc_scale[labels] * size, dc_under[labels] * size + 1.0, everything)
    dsupport = replace(dsupport, slack=dc_slack[labels] * rounded(size))
    return dsupport, replace(Exact.of(dquery, dquery_scale, dquery_under, rows), slack=dquery_slack)


def distance_cross_entropy_vjp(queries: Queries, dy: Any = 1.0) -> tuple[Exact, ...]:
    """dx and dc. dL/dd = -dL/dlogits; then the metric's vjp."""
    gradient, reach = _Gradient(queries, dy), queries.metric.reach
    (dx, dx_scale, dx_under, dx_slack), (dc, dc_scale, dc_under, dc_slack) = gradient.both()
    rows = np.broadcast_to(largest(reach, 1)[:, None], dx.shape)
    of_x = Exact.of(dx, dx_scale, dx_under, rows)
    of_c = Exact.of(dc, dc_scale, dc_under, largest(reach, (0, 1)))
    return replace(of_x, slack=dx_slack), replace(of_c, slack=dc_slack)


class _Opened(NamedTuple):
    """A gradient with its scale, and the changes that the open choices make to it, as `spanned` takes them."""

    value: Array
    scale: Magnitude
    groups: Any


def _opened(queries: Queries, dy: Any, doubt: Doubt) -> tuple[_Opened, _Opened] | None:
    """The open gradients of the queries and of the prototypes; None if no choice changes them."""
    change = queries.metric.open_jacobian(doubt, queries.spread / SHARE)
    if change is None:
        return None
    gradient = _Gradient(queries, dy)
    changes = gradient.value * change
    (dx, dx_scale, *_), (dc, dc_scale, *_) = gradient.both()
    return _Opened(dx, dx_scale, both(np.moveaxis(changes, 1, 0))), _Opened(dc, dc_scale, both(-changes))


def open_gradients_of_pairs(queries: Queries, dy: Any, doubt: Doubt) -> tuple[OpenGradient | None, ...]:
    """The values that the metric's open choices allow dx and dc; None for one that they do not change."""
    opened = _opened(queries, dy, doubt)
    return (None, None) if opened is None else (spanned(*opened[0]), spanned(*opened[1]))


def open_gradients(episode: Episode, dy: Any, doubt: Doubt) -> tuple[OpenGradient | None, ...]:
    """The values that the metric's open choices allow dsupport and dquery; None for one that they do not change."""
    opened = _opened(episode, dy, doubt)
    if opened is None:
        return None, None
    of_queries, centres = opened
    share, labels = _shares(episode.labels, episode.n_classes), episode.labels
    groups = [group[:, labels] * share for group in centres.groups]
    scale = centres.scale[labels] * magnitude(share)
    return spanned(centres.value[labels] * share, scale, groups), spanned(*of_queries)
