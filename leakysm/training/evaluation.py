"""Few-shot accuracy of a trained net over many episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from leakysm.backends import Engine
from leakysm.data.dataset import Report
from leakysm.episodes import EpisodeForm, Indices, sample
from leakysm.errors import CheckFailed
from leakysm.nets import Net, require_embeddings
from leakysm.ops.metrics import Metric, is_users
from leakysm.ops.pairs import spans
from leakysm.training.distance import distance_pair
from leakysm.training.images import SplitImages
from leakysm.training.test_result import TestResult

Array = Any
NORMAL_95 = 1.96  # standard errors. Part of the file format: stored intervals are compared with it when they are read
NOT_FINITE = "the net's embeddings are not finite; use a checkpoint from before training went wrong"
CHUNK_PIXELS = 200_000  # pixels that are embedded at a time, so that memory stays bounded


@dataclass(frozen=True)
class SplitEmbeddings:
    """A split's images as a net embeds them: `of(indices)` gives (n, D) on the images' engine.

    norm: the statistics that batch norm used, "running" or "episode".
    """

    images: SplitImages
    norm: str
    of: Callable[[Indices], Array]


def embed_split(net: Net, images: SplitImages, norm: str, *, report: Report | None = None) -> SplitEmbeddings:
    """The embeddings of a split, computed by a net.

    norm "running": every image is embedded once, in this call, with the running statistics. "episode": the images of
    each episode are embedded together, with their own statistics, when `evaluate` needs them.
    report(done, total) is called with numbers of images.
    """

    def embed(indices: Indices) -> Array:
        x = images(indices)
        z = net.embed(x, norm="episode" if norm == "episode" else "running")
        require_embeddings(net, x, z, "embed")
        return z

    if norm == "episode":
        return SplitEmbeddings(images, norm, embed)
    size = max(1, CHUNK_PIXELS // images.pixels)
    embedded = []
    for chunk in spans(len(images), size):
        embedded.append(embed(np.arange(chunk.start, chunk.stop)))
        if report:
            report(chunk.stop, len(images))
    z = array_namespace(*embedded).concat(embedded, axis=0)
    return SplitEmbeddings(images, norm, lambda indices: z[images.engine.asarray(indices)])


def evaluate(
    embeddings: SplitEmbeddings,
    metric: Metric,
    form: EpisodeForm,
    *,
    episodes: int,
    seed: int,
    report: Report | None = None,
) -> TestResult:
    """Accuracy (percent) in test episodes 0 to `episodes` - 1 of `seed`: a query gets its nearest prototype's class.

    report(done, total) is called after each episode. UserError if the split cannot give such episodes, CheckFailed if
    an embedding is not finite.
    """
    images = embeddings.images
    per_episode = np.empty(episodes)
    for i in range(episodes):
        episode = sample(images.starts, *form, seed=seed, split=images.split, episode=i)
        z = embeddings.of(np.concatenate([episode.support, episode.query]))
        nearest = nearest_prototypes(images.engine, metric, z, episode.support_labels, form.way)
        per_episode[i] = np.mean(nearest == episode.query_labels)
        if report:
            report(i + 1, episodes)
    accuracy, interval = mean_and_interval(per_episode)
    return TestResult(*form, embeddings.norm, accuracy, interval, episodes, per_episode=per_episode)


def prototype_distances(
    engine: Engine, metric: Metric, z: Array, support_labels: Indices, way: int
) -> NDArray[np.floating]:
    """Distances (N, way) of the queries to the prototypes, on the host. z: embeddings, support first, then queries."""
    n = len(support_labels)
    centres, _ = engine.operation("prototypes").forward(z[:n], engine.asarray(support_labels), way)
    distances, _ = distance_pair(engine, metric).forward(z[n:], centres)
    return engine.to_host(distances)


def finite_distances(
    engine: Engine, metric: Metric, z: Array, support_labels: Indices, way: int
) -> NDArray[np.float64]:
    """`prototype_distances` in float64. CheckFailed if one is not finite."""
    distances = prototype_distances(engine, metric, z, support_labels, way).astype(np.float64)
    if not np.isfinite(distances).all():
        raise _not_finite(engine, metric, z)
    return distances


def _not_finite(engine: Engine, metric: Metric, z: Array) -> CheckFailed:
    if is_users(metric) and np.isfinite(engine.to_host(z)).all():
        return CheckFailed(
            f"the distance {metric} is not finite, though the net's embeddings are; it is your own: correct it"
        )
    return CheckFailed(NOT_FINITE)


def nearest_prototypes(
    engine: Engine, metric: Metric, z: Array, support_labels: Indices, way: int
) -> NDArray[np.int64]:
    """The class of each query's nearest prototype, on the host. z: the support images' embeddings, then the queries'.

    CheckFailed if a distance is NaN: an embedding is not finite, or the metric is a user's own.
    """
    host = prototype_distances(engine, metric, z, support_labels, way)
    if np.isnan(host).any():
        raise _not_finite(engine, metric, z)
    nearest: NDArray[np.int64] = np.argmin(host, axis=1)
    return nearest


def mean_and_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """(mean, half of its 95 % interval), in percent, of at least two values: accuracies or their differences."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return 100 * float(values.mean()), 100 * NORMAL_95 * float(error)
