"""Few-shot accuracy of a trained net over many episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from leakysm.backends import Engine
from leakysm.episodes import EpisodeForm, Indices, sample
from leakysm.errors import CheckFailed
from leakysm.nets import Conv4
from leakysm.ops.metrics import Metric
from leakysm.training.images import SplitImages

Array = Any
Report = Callable[[int, int], None]  # episodes done, episodes in all
CHUNK_PIXELS = 200_000  # pixels that are embedded at a time, so that memory stays bounded


@dataclass(frozen=True)
class TestResult:
    """A trained net's accuracy over many episodes of one form.

    query: queries of each class. norm: the statistics that batch norm used, "running" or "episode". accuracy: the mean
    over the episodes, plus or minus interval (95 %: 1.96 standard errors, of this one trained net), in percent. error:
    the error rate in percent, which the within-alphabet protocol reports instead. per_episode: each episode's accuracy
    (episodes,) float64, from 0 to 1; empty where it is not known.
    Of a net from a run's folder, checkpoint is the file's name, after checkpoint_episode training episodes; finished
    says whether that is the best checkpoint of a run that was trained to its end.
    """

    __test__ = False  # not a class of tests for pytest to collect

    way: int
    shot: int
    query: int
    norm: str
    accuracy: float
    interval: float
    episodes: int
    error: float | None = None
    checkpoint: str | None = None
    checkpoint_episode: int | None = None
    finished: bool | None = None
    per_episode: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), compare=False, repr=False)

    @property
    def name(self) -> str:
        """What distinguishes the result among a run's: "5-way 1-shot"."""
        return f"{self.way}-way {self.shot}-shot"

    @property
    def form(self) -> tuple[str, int, int]:
        """What tests of two nets must share to be compared: name, query, episodes."""
        return self.name, self.query, self.episodes

    def __str__(self) -> str:
        if self.error is not None:
            rate = f"error {self.error:.2f} % +- {self.interval:.2f} %"
            return f"within alphabet, {self.name}, {self.episodes} runs: {rate}"
        return f"{self.name}, {self.episodes} test episodes: accuracy {self.accuracy:.2f} % +- {self.interval:.2f} %"

    def to_json(self) -> dict[str, Any]:
        """What is known, without the single episodes; of accuracy and error the one that the protocol reports."""
        names = ["way", "shot", "query", "norm", "accuracy", "interval", "episodes"]
        if self.error is not None:
            names = ["way", "shot", "norm", "error", "interval", "episodes"]
        names += ["checkpoint", "checkpoint_episode", "finished"]
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class SplitEmbeddings:
    """A split's images as a net embeds them: `of(indices)` gives (n, D) on the images' engine.

    norm: the statistics that batch norm used, "running" or "episode".
    """

    images: SplitImages
    norm: str
    of: Callable[[Indices], Array]


def embed_split(net: Conv4, images: SplitImages, norm: str) -> SplitEmbeddings:
    """A split embedded by a net.

    norm "running": every image once, here, with the running statistics, so that an episode is a look-up. "episode": an
    episode's images together, with their own statistics.
    """
    if norm == "episode":
        return SplitEmbeddings(images, norm, lambda indices: net.embed(images(indices), norm="episode"))
    size = max(1, CHUNK_PIXELS // images.pixels)
    chunks = [np.arange(i, min(i + size, len(images))) for i in range(0, len(images), size)]
    embedded = [net.embed(images(chunk), norm="running") for chunk in chunks]
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
    """Accuracy over episodes 0 to `episodes` - 1 of `seed` on a split: a query goes to its nearest prototype.

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
