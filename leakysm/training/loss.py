"""The prototypical loss of an episode and its gradient, by an engine's operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from leakysm.backends.protocol import Engine
from leakysm.ops.metrics import Metric
from leakysm.training.distance import distance_pair

Array = Any


@dataclass(frozen=True)
class EpisodeLoss:
    """The loss of an episode with N queries, and its gradients.

    loss (): mean cross-entropy over the queries. accuracy (): fraction of the queries whose nearest prototype is their
    own class's. distances (N, way), times the learned scale, if there is one. ddistances (N, way) and dz
    (n_support + N, D): gradients of the mean loss. dlog_scale (1,): that of the scale's logarithm, or None.
    """

    loss: Array
    accuracy: Array
    distances: Array
    ddistances: Array
    dz: Array
    dlog_scale: Array | None = None


def episode_loss(
    engine: Engine,
    metric: Metric,
    z: Array,
    support_labels: Array,
    query_labels: Array,
    way: int,
    log_scale: Array | None = None,
) -> EpisodeLoss:
    """The loss of embeddings z (n_support + N, D), support first, then queries. Labels are arrays of the engine.

    log_scale (1,): logits are -exp(log_scale) times the distances; None is a scale of 1.
    """
    xp = array_namespace(z)
    n_support = support_labels.shape[0]
    prototypes, cross_entropy = map(engine.operation, ("prototypes", "cross_entropy"))
    distance = distance_pair(engine, metric)

    centres, saved_centres = prototypes.forward(z[:n_support], support_labels, way)
    distances, saved_distances = distance.forward(z[n_support:], centres)
    right = xp.argmin(distances, axis=1) == query_labels
    scale = None if log_scale is None else xp.exp(log_scale)
    if scale is not None:
        distances = scale * distances
    loss, saved_loss = cross_entropy.forward(-distances, query_labels)

    ddistances = -cross_entropy.backward(saved_loss)
    dquery, dcentres = distance.backward(saved_distances, ddistances if scale is None else scale * ddistances)
    dlog_scale = None if scale is None else xp.reshape(xp.sum(ddistances * distances), (1,))
    dsupport = prototypes.backward(saved_centres, dcentres)
    dz = xp.concat([dsupport, dquery], axis=0)
    return EpisodeLoss(loss, xp.mean(xp.astype(right, z.dtype)), distances, ddistances, dz, dlog_scale)
