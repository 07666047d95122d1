"""Few-shot accuracy of a trained net over many episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from leakysm.backends import Engine
from leakysm.episodes import Indices, sample
from leakysm.errors import CheckFailed
from leakysm.nets import Conv4
from leakysm.ops.metrics import Metric
from leakysm.training.images import SplitImages

Array = Any
Embed = Callable[[Indices], Array]  # indices of a split's images -> their embeddings (n, D)
Report = Callable[[int, int], None]  # episodes done, of how many
CHUNK_PIXELS = 200_000  # embedded at a time: bounds memory


@dataclass(frozen=True)
class Accuracy:
    """In percent: `accuracy` is the mean over the episodes, plus or minus `interval` (95 %: 1.96 standard errors).
    `per_episode` (episodes,) float64."""

    accuracy: float
    interval: float
    episodes: int
    per_episode: NDArray[np.float64]


def embedder(net: Conv4, images: SplitImages, norm: str) -> Embed:
    """How a split's images are embedded. norm "running": every image once, here, with the running statistics, so that
    an episode is a look-up. "episode": an episode's images together, with their own statistics."""
    if norm == "episode":
        return lambda indices: net.embed(images(indices), norm="episode")
    size = max(1, CHUNK_PIXELS // images.pixels)
    chunks = [np.arange(i, min(i + size, len(images))) for i in range(0, len(images), size)]
    embedded = [net.embed(images(chunk), norm="running") for chunk in chunks]
    z = array_namespace(*embedded).concat(embedded, axis=0)
    return lambda indices: z[images.engine.asarray(indices)]


def evaluate(
    embed: Embed,
    images: SplitImages,
    metric: Metric,
    *,
    way: int,
    shot: int,
    query: int,
    episodes: int,
    seed: int,
    report: Report | None = None,
) -> Accuracy:
    """Accuracy over episodes 0 to `episodes` - 1 of `seed` on the images' split: a query goes to its nearest prototype.

    UserError if the split cannot give such episodes, CheckFailed if an embedding is not finite.
    """
    per_episode = np.empty(episodes)
    for i in range(episodes):
        episode = sample(images.starts, way, shot, query, seed=seed, split=images.split, episode=i)
        z = embed(np.concatenate([episode.support, episode.query]))
        nearest = nearest_prototypes(images.engine, metric, z, episode.support_labels, way)
        per_episode[i] = np.mean(nearest == episode.query_labels)
        if report:
            report(i + 1, episodes)
    return Accuracy(*mean_and_interval(per_episode), episodes, per_episode)


def prototype_distances(
    engine: Engine, metric: Metric, z: Array, support_labels: Indices, way: int
) -> NDArray[np.floating]:
    """Distances (N, way) of the queries to the prototypes, on the host. z: embeddings, support first, then queries."""
    n = len(support_labels)
    centres, _ = engine.operation("prototypes").forward(z[:n], engine.asarray(support_labels), way)
    distances, _ = engine.operation(metric.operation).forward(z[n:], centres, **metric.parameters)
    return engine.to_host(distances)


def nearest_prototypes(
    engine: Engine, metric: Metric, z: Array, support_labels: Indices, way: int
) -> NDArray[np.int64]:
    """The class of each query's nearest prototype, on the host. z: the support images' embeddings, then the queries'.

    CheckFailed if a distance is NaN: an embedding is not finite.
    """
    host = prototype_distances(engine, metric, z, support_labels, way)
    if np.isnan(host).any():
        raise CheckFailed("the net's embeddings are not finite; use a checkpoint from before training went wrong")
    nearest: NDArray[np.int64] = np.argmin(host, axis=1)
    return nearest


def mean_and_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """(mean, 1.96 standard errors) in percent of at least two values between 0 and 1."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return 100 * float(values.mean()), 100 * 1.96 * float(error)
