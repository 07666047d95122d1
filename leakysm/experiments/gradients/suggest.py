"""Suggest a slope for embeddings, from the distances in a few first episodes.

The derivative of the unsquared distance e = sqrt(d) with respect to an embedding has length 1, whatever the number of
values, and training with it needs no setting. That of s d has length 2 s e. So the rule takes the largest slope s of 1,
0.3, 0.1, 0.03, ... for which 2 s e is at most 1, averaged over pairs of a query and a prototype. Slope 1 means
that no restriction is needed. The threshold is 1.

This rule finds the best slope of both grids in docs/results: 0.03 on Omniglot, 0.01 on Caltech 101. No threshold was
better than another there. Instead, a target may be given: the largest fraction of the entries of dL/dd that may vanish.
No one target finds both slopes.

This looks only at the start of training and promises nothing about accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakysm.backends.protocol import Engine
from leakysm.episodes import EpisodeForm, sample
from leakysm.errors import CheckFailed
from leakysm.experiments.gradients.observed import Floats
from leakysm.ops.metrics import Euclidean, LeakySquaredEuclidean, Metric, SquaredEuclidean
from leakysm.runs.build import new_net
from leakysm.runs.settings import TrainConfig
from leakysm.training.images import SplitImages
from leakysm.training.loss import episode_loss
from leakysm.training.sparsity import FIGURES, VANISHED, sparsity

GRID = (1.0, 3.0)
DECADES = 8
_VANISHED, _DISTANCE = map(FIGURES.index, ("vanished_distance_gradients", "mean_distance"))


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


def suggest(engine: Engine, episodes: Sequence[EmbeddedEpisode], target: float | None = None) -> Suggestion:
    """The weakest restriction with which distances grow no faster than unsquared ones, on average over the pairs.

    target: instead, the fraction of the gradient entries that may vanish, on average over the episodes. CheckFailed if
    no slope gets there, or if a distance is not finite.
    """
    unsquared = float(mean_figures(engine, Euclidean(), episodes)[_DISTANCE])
    figures: dict[Metric, Floats] = {}
    for slope in _slopes():
        metric = SquaredEuclidean() if slope == 1 else LeakySquaredEuclidean(1.0, slope)
        figures[metric] = mean_figures(engine, metric, episodes)
        slow_enough = 2 * slope * unsquared <= 1
        if slow_enough if target is None else figures[metric][_VANISHED] <= target:
            tried = tuple((one, float(found[_VANISHED])) for one, found in figures.items())
            return Suggestion(metric, figures[SquaredEuclidean()], figures[metric], tried)
    least = min(float(found[_VANISHED]) for found in figures.values())
    raise CheckFailed(_out_of_reach(episodes, target, least))


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
    """1, 0.3, 0.1, 0.03, ... down to 1e-8, each the float nearest to the decimal number."""
    yield 1.0
    for decade in range(1, DECADES + 1):
        yield from (float(f"{factor:g}e-{decade}") for factor in reversed(GRID))


def _out_of_reach(episodes: Sequence[EmbeddedEpisode], target: float | None, least: float) -> str:
    if target is None:
        return f"distances are so large that the slope would be below {10.0**-DECADES:g}; scale the embeddings down"
    way = max(episode.way for episode in episodes)
    reason = (
        f"with {way} classes even equal probabilities are below {VANISHED}: lower --way"
        if way > 1 / VANISHED
        else "raise --target"
    )
    return (
        f"no slope brings vanished gradient entries down to {100 * target:g} %, at best {100 * least:.3g} %; {reason}"
    )
