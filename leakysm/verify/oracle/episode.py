"""Prototypes and the prototypical loss (Snell et al. 2017) in 50-digit arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact
from leakysm.verify.oracle.distances import METRICS
from leakysm.verify.oracle.loss import Softmax, loss_gradient, mean_loss
from leakysm.verify.precise import ZERO, Array, exact, largest, total, where, zeros


def prototypes(z: Any, labels: Any, n_classes: int) -> tuple[Exact, ...]:
    """The mean of each class's rows (n_classes, D). Terms: z_i / n of the class."""
    means, scales, counts = _class_means(exact(z), np.asarray(labels), n_classes)
    return (Exact(means, scales, max([*counts, 1])),)


def _class_means(z: Array, labels: Any, n_classes: int) -> tuple[Array, Array, list[int]]:
    members = [z[labels == j] for j in range(n_classes)]
    empty = zeros((0, z.shape[1]))
    means = [total(rows, 0) / len(rows) for rows in members]
    scales = [total(abs(rows), 0) / len(rows) for rows in members]
    counts = [len(rows) for rows in members]
    return (np.stack(means), np.stack(scales), counts) if members else (empty, empty, counts)


def prototypes_vjp(z: Any, labels: Any, n_classes: int, dy: Any) -> tuple[Exact, ...]:
    """dz_i = dy of its class / shots of its class."""
    return (_spread_to_members(np.asarray(labels), n_classes, exact(dy), abs(exact(dy)), 1),)


def _spread_to_members(
    labels: Any, n_classes: int, dy: Array, scale: Array, terms: int, reach: Array | None = None
) -> Exact:
    shots = np.maximum(np.bincount(labels, minlength=n_classes), 1)[labels]
    share = exact(1.0) / exact(shots.astype(np.float64))[:, None] if len(labels) else zeros((0, 1))
    return Exact(dy[labels] * share, scale[labels] * share, terms, None if reach is None else reach[labels])


class Episode:
    """The steps of the loss: prototypes, distances, softmax; each step's rounding is the next step's `spread`.

    distance: any object with `operation` (a METRICS name) and `parameters`.
    """

    def __init__(self, support: Any, support_labels: Any, query: Any, query_labels: Any, *, distance: Any):
        self.labels, self.query_labels = np.asarray(support_labels), np.asarray(query_labels)
        self.n_classes = int(self.labels.max()) + 1
        c, scales, counts = _class_means(exact(support), self.labels, self.n_classes)
        self.spread = where(np.asarray(counts)[:, None] > 1, scales, ZERO)  # the mean of one is exact
        self.metric = METRICS[distance.operation](query, c, **distance.parameters)
        self.distance_scale = self.metric.scale + self.metric.value_condition(self.spread)
        self.rows = Softmax(-self.metric.value, self.distance_scale)


def prototypical_loss(episode: Episode) -> tuple[Exact, ...]:
    """Cross-entropy of -distances."""
    (loss,) = mean_loss(episode.rows, episode.query_labels)
    reach = largest(episode.metric.reach, (0, 1)) + 0 * loss.value
    return (Exact(loss.value, loss.scale, loss.terms, np.asarray(reach, dtype=object)),)


def prototypical_loss_vjp(episode: Episode, dy: Any = 1.0, *, within: Any = None) -> tuple[Exact, ...]:
    """dsupport (through the prototypes) and dquery. dL/dd = -dL/dlogits; then the metric's and the mean's vjp."""
    metric = episode.metric if within is None else episode.metric.choosing(within)
    logits = loss_gradient(episode.rows, episode.query_labels, dy)
    gradient, gradient_scale = -logits.value[..., None], logits.scale[..., None]
    jacobian = metric.jacobian()
    drift = metric.jacobian_condition(episode.spread)
    dx_scale = total(gradient_scale * jacobian.dx_scale + abs(gradient) * drift, 1)
    dc_scale = total(gradient_scale * jacobian.dc_scale + abs(gradient) * drift, 0)
    n, m = episode.rows.shape
    rows = largest(metric.reach, 1)[:, None] + 0 * dx_scale
    everything = largest(metric.reach, (0, 1)) + 0 * dc_scale  # a prototype's gradient sums over all rows
    dquery = Exact(total(gradient * jacobian.dx, 1), dx_scale, n * m, rows)
    dc = total(gradient * jacobian.dc, 0)
    return _spread_to_members(episode.labels, episode.n_classes, dc, dc_scale, n * m, everything), dquery
