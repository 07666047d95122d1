"""Which threshold and slope keep the early gradients alive, told from the distances of a few first episodes.

The least restriction that meets the target: the largest slope of 1, 0.5, 0.2, 0.1, ... at which, with threshold 1, at
most the target's fraction of the entries of dL/dd vanishes; then, at that slope, the largest threshold of 1, 2, 5, 10,
... before the fraction exceeds the target, but no more than slope times the mean distance: the unrestricted part of a
distance shall not outweigh the restricted one, which training would bring into play later. Only the start of training
is looked at: no promise of accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakysm.backends.protocol import Engine
from leakysm.episodes import sample
from leakysm.errors import CheckFailed
from leakysm.experiments.gradients.measure import Floats
from leakysm.nets import Conv4
from leakysm.ops.metrics import LeakySquaredEuclidean, Metric, SquaredEuclidean
from leakysm.runs.settings import TrainConfig
from leakysm.training.images import SplitImages
from leakysm.training.loss import episode_loss
from leakysm.training.sparsity import FIGURES, VANISHED, sparsity

GRID = (1.0, 2.0, 5.0)
DECADES = 8  # slopes down to 1e-8, thresholds up to 5e8
_VANISHED = FIGURES.index("vanished_distance_gradients")


@dataclass(frozen=True)
class Embedded:
    """An episode's embeddings z (way (shot + query), D), support first, class by class."""

    z: NDArray[np.floating]
    way: int
    shot: int
    query: int


@dataclass(frozen=True)
class Suggestion:
    """metric: squared Euclidean where it needs no restriction. before, after: the mean sparsity FIGURES (5,) with
    squared Euclidean and with `metric`. tried: every candidate with its vanished fraction."""

    metric: Metric
    before: Floats
    after: Floats
    tried: tuple[tuple[Metric, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "distance": {"name": self.metric.name, **self.metric.parameters},
            "before": dict(zip(FIGURES, self.before.tolist(), strict=True)),
            "after": dict(zip(FIGURES, self.after.tolist(), strict=True)),
            "tried": [
                {"name": metric.name, **metric.parameters, "vanished_distance_gradients": vanished}
                for metric, vanished in self.tried
            ],
        }


def suggest(engine: Engine, episodes: Sequence[Embedded], target: float) -> Suggestion:
    """The least restriction with at most `target` of the gradient entries vanished, on average over the episodes.

    CheckFailed if no slope gets there, or if a distance is not finite.
    """
    tried: dict[Metric, Floats] = {}

    def vanished(metric: Metric) -> float:
        tried[metric] = mean_figures(engine, metric, episodes)
        return float(tried[metric][_VANISHED])

    squared = SquaredEuclidean()
    chosen: Metric = squared
    if vanished(squared) > target:
        slope = next((s for s in _slopes() if vanished(LeakySquaredEuclidean(1.0, s)) <= target), None)
        if slope is None:
            raise CheckFailed(_out_of_reach(episodes, target, min(tried[m][_VANISHED] for m in tried)))
        chosen = LeakySquaredEuclidean(1.0, slope)
        most = slope * float(tried[squared][FIGURES.index("mean_distance")])
        for threshold in takewhile(lambda t: t <= most, _thresholds()):
            if vanished(wider := LeakySquaredEuclidean(threshold, slope)) > target:
                break
            chosen = wider
    return Suggestion(chosen, tried[squared], tried[chosen], tuple((m, float(f[_VANISHED])) for m, f in tried.items()))


def mean_figures(engine: Engine, metric: Metric, episodes: Sequence[Embedded]) -> Floats:
    """The sparsity FIGURES (5,) of the metric, averaged over the episodes. CheckFailed if they are not finite."""
    figures = []
    for number, episode in enumerate(episodes):
        labels = np.arange(episode.way)
        support, query = (engine.asarray(np.repeat(labels, times)) for times in (episode.shot, episode.query))
        with np.errstate(all="ignore"):  # what is not finite is told below
            result = episode_loss(engine, metric, engine.asarray(episode.z), support, query, episode.way)
            host = engine.to_host(sparsity(result.distances, result.ddistances, result.dz[-len(result.distances) :]))
        if not np.isfinite(host).all():
            raise CheckFailed(f"{metric}: the distances of episode {number} are not finite; scale the embeddings down")
        figures.append(host.astype(np.float64))
    return np.asarray(np.mean(figures, axis=0))


def embedded_by_new_net(config: TrainConfig, images: SplitImages, episodes: int) -> Iterator[Embedded]:
    """The first episodes of a run, embedded by its net's initial weights as training's first step does it."""
    engine = images.engine
    net = Conv4(images(np.zeros(1, np.int64)).shape[-1], seed=config.seed, engine=engine)
    for number in range(episodes):
        episode = sample(
            images.starts, config.way, config.shot, config.query, seed=config.seed, split=images.split, episode=number
        )
        z = net.embed(images(np.concatenate([episode.support, episode.query])), norm="episode")
        yield Embedded(engine.to_host(z), config.way, config.shot, config.query)


def _slopes() -> Iterator[float]:
    """0.5, 0.2, 0.1, 0.05, ... as the nearest floats to the decimals."""
    for decade in range(1, DECADES + 1):
        yield from (float(f"{factor:g}e-{decade}") for factor in reversed(GRID))


def _thresholds() -> Iterator[float]:
    """2, 5, 10, 20, ..."""
    grid = (factor * 10**decade for decade in range(DECADES + 1) for factor in GRID)
    yield from (threshold for threshold in grid if threshold > 1)


def _out_of_reach(episodes: Sequence[Embedded], target: float, least: float) -> str:
    way = max(episode.way for episode in episodes)
    reason = (
        f"with {way} classes even equal probabilities are below {VANISHED}: lower --way"
        if way > 1 / VANISHED
        else "raise --target"
    )
    return (
        f"no slope brings vanished gradient entries down to {100 * target:g} %, at best {100 * least:.3g} %; {reason}"
    )
