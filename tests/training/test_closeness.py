"""How many spreads of the support an image usually is from the nearest prototype."""

from __future__ import annotations

import numpy as np
import pytest

from leakysm.backends import backend
from leakysm.data import Dataset
from leakysm.episodes import sample
from leakysm.ops.metrics import Euclidean, SquaredEuclidean
from leakysm.training import SplitEmbeddings, SplitImages
from leakysm.training.closeness import PART, closeness_limits, limit_for, support_spread

ENGINE = backend("reference")


def embedded(data: Dataset, z: np.ndarray) -> SplitEmbeddings:
    return SplitEmbeddings(SplitImages(ENGINE, data, "val"), "running", lambda indices: z[indices])


def test_the_spread_is_the_mean_distance_between_examples_of_a_class_or_between_prototypes() -> None:
    z = np.array([[0.0, 0], [0, 2], [3, 1], [0, 5]])  # prototypes (0, 1), (3, 1), (0, 5): distances 3, 4, 5
    assert support_spread(ENGINE, Euclidean(), z, np.array([0, 0, 1, 2]), 3) == 4
    z = np.array([[0.0, 0], [0, 2], [5, 1], [5, 5], [5, 9]])  # to the others' mean: 2, 2, 6, 0, 6
    assert support_spread(ENGINE, Euclidean(), z, np.array([0, 0, 1, 1, 1]), 2) == 16 / 5


@pytest.mark.parametrize("shot", [1, 3])
def test_the_usual_part_of_the_queries_is_within_the_limit_whatever_the_scale(data: Dataset, shot: int) -> None:
    z = np.random.default_rng(0).normal(size=(len(data.split("val").images), 4))
    metric, episodes = SquaredEuclidean(), 20
    limits = closeness_limits(embedded(data, z), metric, 3, episodes=episodes, seed=1)
    assert list(limits) == [1, 2, 3]  # the smallest class has 5 images
    assert closeness_limits(embedded(data, 8 * z), metric, 3, episodes=episodes, seed=1) == limits
    within = []
    for i in range(episodes):
        one = sample(data.split("val").starts, 3, shot, 5 - shot, seed=1, split="val", episode=i)
        centres = z[one.support].reshape(3, shot, 4).mean(axis=1)
        spread = support_spread(ENGINE, metric, z[one.support], one.support_labels, 3)
        within += (metric(z[one.query], centres).min(axis=1) <= limits[shot] * spread).tolist()
    assert np.mean(within) == pytest.approx(PART, abs=1 / len(within))


def test_the_limit_is_that_of_the_next_smaller_number_of_examples() -> None:
    limits = {1: 0.5, 2: 2.0, 5: 1.5}
    assert [limit_for(limits, shot) for shot in (1, 2, 4, 5, 90)] == [0.5, 2.0, 2.0, 1.5, 1.5]
    assert limit_for({1: 0.5}, 2) is None  # its spread is another kind
    assert limit_for({}, 1) is None


def test_without_a_spread_there_is_no_limit(data: Dataset) -> None:
    z = np.zeros((len(data.split("val").images), 4))
    assert closeness_limits(embedded(data, z), SquaredEuclidean(), 3, episodes=2, seed=0) == {}
