"""Which threshold and slope keep the early gradients alive, from the distances in a few first episodes.

The weakest restriction that meets a target is sought, a target being the largest fraction of the entries of dL/dd that
may vanish:

1. the slope: the largest of 1, 0.5, 0.2, 0.1, ... that meets the target at threshold 1;
2. the threshold: at that slope, the largest of 1, 2, 5, 10, ... that meets the target, but at most slope times the mean
   distance. Beyond that, the unrestricted part of a distance would be larger than the restricted part; training would
   run into it later.

This looks only at the start of training and promises nothing about accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakysm.backends.protocol import Engine
from leakysm.episodes import EpisodeForm, sample
from leakysm.errors import CheckFailed
from leakysm.experiments.gradients.observed import Floats
from leakysm.ops.metrics import LeakySquaredEuclidean, Metric, SquaredEuclidean
from leakysm.runs.build import new_net
from leakysm.runs.settings import TrainConfig
from leakysm.training.images import SplitImages
from leakysm.training.loss import episode_loss
from leakysm.training.sparsity import FIGURES, VANISHED, sparsity

GRID = (1.0, 2.0, 5.0)
DECADES = 8
_VANISHED = FIGURES.index("vanished_distance_gradients")


@dataclass(frozen=True)
class EmbeddedEpisode:
    """An episode's embeddings z (way (shot + query), D): support first, then queries, each class by class."""

    z: NDArray[np.floating]
    way: int
    shot: int
    query: int


@dataclass(frozen=True)
class Suggestion:
    """The metric to train with; squared Euclidean where no restriction is needed.

    before, after: the mean sparsity FIGURES (5,) with squared Euclidean and with `metric`. tried: every metric that was
    tried, and the fraction of its gradient entries that vanished.
    """

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


class _Trials:
    """Metrics tried on the same episodes; `figures` holds the mean sparsity FIGURES (5,) of each."""

    def __init__(self, engine: Engine, episodes: Sequence[EmbeddedEpisode]) -> None:
        self.engine, self.episodes = engine, episodes
        self.figures: dict[Metric, Floats] = {}

    def vanished(self, metric: Metric) -> float:
        """Try a metric: the fraction of its gradient entries that vanish."""
        self.figures[metric] = mean_figures(self.engine, metric, self.episodes)
        return float(self.figures[metric][_VANISHED])


def suggest(engine: Engine, episodes: Sequence[EmbeddedEpisode], target: float) -> Suggestion:
    """The weakest restriction with at most `target` of the gradient entries vanished, on average over the episodes.

    CheckFailed if no slope gets there, or if a distance is not finite.
    """
    trials = _Trials(engine, episodes)
    squared = SquaredEuclidean()
    chosen: Metric = squared
    if trials.vanished(squared) > target:
        slope = _largest_slope(trials, target)
        mean_distance = float(trials.figures[squared][FIGURES.index("mean_distance")])
        chosen = LeakySquaredEuclidean(_largest_threshold(trials, target, slope, slope * mean_distance), slope)
    figures = trials.figures
    tried = tuple((metric, float(figures[metric][_VANISHED])) for metric in figures)
    return Suggestion(chosen, figures[squared], figures[chosen], tried)


def _largest_slope(trials: _Trials, target: float) -> float:
    """The largest slope that meets the target at threshold 1. CheckFailed if none does."""
    for slope in _slopes():
        if trials.vanished(LeakySquaredEuclidean(1.0, slope)) <= target:
            return slope
    least = min(float(figures[_VANISHED]) for figures in trials.figures.values())
    raise CheckFailed(_out_of_reach(trials.episodes, target, least))


def _largest_threshold(trials: _Trials, target: float, slope: float, most: float) -> float:
    """The largest threshold up to `most` before the target is missed; 1 if no other will do."""
    chosen = 1.0
    for threshold in takewhile(lambda t: t <= most, _thresholds()):
        if trials.vanished(LeakySquaredEuclidean(threshold, slope)) > target:
            break
        chosen = threshold
    return chosen


def mean_figures(engine: Engine, metric: Metric, episodes: Sequence[EmbeddedEpisode]) -> Floats:
    """The sparsity FIGURES (5,) of the metric, averaged over the episodes. CheckFailed if they are not finite."""
    figures = []
    for number, episode in enumerate(episodes):
        labels = np.arange(episode.way)
        support, query = (engine.asarray(np.repeat(labels, times)) for times in (episode.shot, episode.query))
        with np.errstate(all="ignore"):  # numbers that are not finite are reported below
            result = episode_loss(engine, metric, engine.asarray(episode.z), support, query, episode.way)
            host = engine.to_host(sparsity(result.distances, result.ddistances, result.dz[-len(result.distances) :]))
        if not np.isfinite(host).all():
            raise CheckFailed(f"{metric}: the distances of episode {number} are not finite; scale the embeddings down")
        figures.append(host.astype(np.float64))
    return np.asarray(np.mean(figures, axis=0))


def embedded_by_new_net(config: TrainConfig, images: SplitImages, episodes: int) -> Iterator[EmbeddedEpisode]:
    """A run's first episodes, each embedded by the net's initial weights, as the first training step embeds it."""
    engine = images.engine
    net = new_net(config, images.channels, engine)
    form = EpisodeForm(config.way, config.shot, config.query)
    for number in range(episodes):
        episode = sample(images.starts, *form, seed=config.seed, split=images.split, episode=number)
        z = net.embed(images(np.concatenate([episode.support, episode.query])), norm="episode")
        yield EmbeddedEpisode(engine.to_host(z), *form)


def _slopes() -> Iterator[float]:
    """0.5, 0.2, 0.1, 0.05, ... down to 1e-8, each the float nearest to the decimal number."""
    for decade in range(1, DECADES + 1):
        yield from (float(f"{factor:g}e-{decade}") for factor in reversed(GRID))


def _thresholds() -> Iterator[float]:
    """2, 5, 10, 20, ... up to 5e8."""
    grid = (factor * 10**decade for decade in range(DECADES + 1) for factor in GRID)
    yield from (threshold for threshold in grid if threshold > 1)


def _out_of_reach(episodes: Sequence[EmbeddedEpisode], target: float, least: float) -> str:
    way = max(episode.way for episode in episodes)
    reason = (
        f"with {way} classes even equal probabilities are below {VANISHED}: lower --way"
        if way > 1 / VANISHED
        else "raise --target"
    )
    return (
        f"no slope brings vanished gradient entries down to {100 * target:g} %, at best {100 * least:.3g} %; {reason}"
    )
