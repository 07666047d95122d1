"""Decide whether an image is close to any class: distances in units of the support's spread, and their usual size.

A softmax over distances gives some class a high probability for any image, even for a blank one. The distance
tells whether the image is like any of the classes. Its unit is the spread of the support: the mean distance between an
example and the prototype of the other examples of its class; or, if a class has only one example, between two
prototypes. Validation, on classes that the net was not trained on, shows how many spreads an image usually is from the
nearest prototype.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakysm.backends import Engine
from leakysm.episodes import EpisodeForm, Indices, sample
from leakysm.ops.metrics import Metric
from leakysm.training.distance import distance_pair
from leakysm.training.evaluation import SplitEmbeddings, prototype_distances

Array = Any
Limits = dict[int, float]  # by the number of examples of a class
PART = 0.95  # of the images of validation are within the limit
SHOTS = (1, 2, 3, 5)  # for which a limit is measured
QUERIES = 5  # of a class
MOST = 20  # examples of a class that are compared with the others


def support_spread(engine: Engine, metric: Metric, z: Array, labels: Indices, way: int) -> float:
    """The mean distance between an example and the prototype of the other examples of its class; or, if a class has
    one example only, between two prototypes.

    z: embeddings (n, D) of a support. labels (n,): the class of each, 0 to `way` - 1.
    """
    centres, _ = engine.operation("prototypes").forward(z, engine.asarray(labels), way)
    if np.bincount(labels, minlength=way).min() == 1:
        between = _distances(engine, metric, centres, centres)
        return float(between[np.triu_indices(way, 1)].mean(dtype=np.float64))
    apart = []
    for k in range(way):
        rows = np.flatnonzero(labels == k)
        own = z[engine.asarray(rows[:MOST])]
        others = (len(rows) * centres[k] - own) / (len(rows) - 1)
        apart.append(np.diagonal(_distances(engine, metric, own, others)))
    return float(np.concatenate(apart).mean(dtype=np.float64))


def closeness_limits(embeddings: SplitEmbeddings, metric: Metric, way: int, *, episodes: int, seed: int) -> Limits:
    """The distance in spreads from the nearest prototype that PART of the queries do not exceed, for each of SHOTS
    that the split allows.

    It is measured over episodes 0 to `episodes` - 1 of `seed`, of which all queries have a class in the support.
    """
    fewest = int(np.diff(embeddings.images.starts).min())
    limits = {}
    for shot in SHOTS:
        form = EpisodeForm(way, shot, min(QUERIES, fewest - shot))
        if form.query > 0:
            found = np.concatenate([*_spreads(embeddings, metric, form, episodes, seed)])
            if np.isfinite(found).all():
                limits[shot] = float(np.quantile(found, PART))
    return limits


def limit_for(limits: Limits, shot: int) -> float | None:
    """The limit for a support with `shot` examples of each class; None if it is not known.

    Between two numbers that were measured, the limit of the smaller one holds. The limit of one example holds for
    one only: `support_spread` then measures another distance.
    """
    fitting = [measured for measured in limits if measured <= shot and (measured > 1 or shot == 1)]
    return limits[max(fitting)] if fitting else None


def _spreads(
    embeddings: SplitEmbeddings, metric: Metric, form: EpisodeForm, episodes: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Each query's distance from the nearest prototype in spreads, episode by episode; inf where the spread is 0."""
    images = embeddings.images
    for i in range(episodes):
        episode = sample(images.starts, *form, seed=seed, split=images.split, episode=i)
        z, labels = embeddings.of(np.concatenate([episode.support, episode.query])), episode.support_labels
        spread = support_spread(images.engine, metric, z[: len(labels)], labels, form.way)
        nearest = prototype_distances(images.engine, metric, z, labels, form.way).min(axis=1).astype(np.float64)
        yield nearest / spread if spread > 0 else np.full(len(nearest), np.inf)


def _distances(engine: Engine, metric: Metric, x: Array, c: Array) -> NDArray[np.floating]:
    """Distances (N, M) from x (N, D) to c (M, D), on the host."""
    return engine.to_host(distance_pair(engine, metric).forward(x, c)[0])
