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
    own class's. distances (N, way). ddistances (N, way) and dz (n_support + N, D): gradients of the mean loss.
    """

    loss: Array
    accuracy: Array
    distances: Array
    ddistances: Array
    dz: Array


def episode_loss(
    engine: Engine, metric: Metric, z: Array, support_labels: Array, query_labels: Array, way: int
) -> EpisodeLoss:
    """The loss of embeddings z (n_support + N, D), support first, then queries. Labels are arrays of the engine."""
    xp = array_namespace(z)
    n_support = support_labels.shape[0]
    prototypes, cross_entropy = map(engine.operation, ("prototypes", "cross_entropy"))
    distance = distance_pair(engine, metric)

    centres, saved_centres = prototypes.forward(z[:n_support], support_labels, way)
    distances, saved_distances = distance.forward(z[n_support:], centres)
    loss, saved_loss = cross_entropy.forward(-distances, query_labels)

    ddistances = -cross_entropy.backward(saved_loss)
    dquery, dcentres = distance.backward(saved_distances, ddistances)
    dsupport = prototypes.backward(saved_centres, dcentres)
    right = xp.argmin(distances, axis=1) == query_labels
    return EpisodeLoss(
        loss, xp.mean(xp.astype(right, z.dtype)), distances, ddistances, xp.concat([dsupport, dquery], axis=0)
    )
