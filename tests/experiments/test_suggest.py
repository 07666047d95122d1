"""The suggestion is the least restriction that meets the target: no larger slope would have done, nor threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from leakysm.backends import backend
from leakysm.errors import CheckFailed
from leakysm.experiments.gradients.suggest import EmbeddedEpisode, mean_figures, suggest
from leakysm.ops.metrics import LeakySquaredEuclidean, SquaredEuclidean
from leakysm.training.sparsity import FIGURES

ENGINE = backend("numpy", threads=1)
VANISHED = FIGURES.index("vanished_distance_gradients")
seeds, scales = st.integers(0, 999), st.sampled_from([0.01, 0.1, 1.0, 3.0, 10.0, 30.0])


def episodes(seed: int, scale: float, way: int = 6, size: int = 8) -> list[EmbeddedEpisode]:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((way, size))
    made = []
    for _ in range(2):
        query = np.repeat(centres, 3, axis=0)
        z = np.concatenate([centres, query])
        made.append(
            EmbeddedEpisode((scale * (z + 0.5 * random.standard_normal(z.shape))).astype(np.float32), way, 1, 3)
        )
    return made


def vanished(metric: Any, given_episodes: list[EmbeddedEpisode]) -> float:
    return float(mean_figures(ENGINE, metric, given_episodes)[VANISHED])


@given(seeds, scales, st.sampled_from([0.02, 0.1, 0.3]))
def test_the_target_is_met_and_no_less_would_do(seed: int, scale: float, target: float) -> None:
    made = episodes(seed, scale)
    result = suggest(ENGINE, made, target)
    assert result.after[VANISHED] <= target
    assert result.after.tolist() == mean_figures(ENGINE, result.metric, made).tolist()
    assert result.before.tolist() == mean_figures(ENGINE, SquaredEuclidean(), made).tolist()
    if isinstance(result.metric, SquaredEuclidean):
        return
    assert isinstance(result.metric, LeakySquaredEuclidean)
    slopes = [m.slope for m, _ in result.tried if isinstance(m, LeakySquaredEuclidean)]
    assert result.metric.slope == min(slopes)
    for slope in {s for s in slopes if s > result.metric.slope}:
        assert vanished(LeakySquaredEuclidean(1.0, slope), made) > target
    mean = float(result.before[FIGURES.index("mean_distance")])
    assert 1 <= result.metric.threshold <= max(1, result.metric.slope * mean)
    wider = max(m.threshold for m, _ in result.tried if isinstance(m, LeakySquaredEuclidean))
    assert (
        wider == result.metric.threshold or vanished(LeakySquaredEuclidean(wider, result.metric.slope), made) > target
    )


@given(seeds, scales)
def test_no_restriction_where_nothing_vanishes(seed: int, scale: float) -> None:
    made = episodes(seed, scale)
    assume(vanished(SquaredEuclidean(), made) <= 0.1)
    result = suggest(ENGINE, made, 0.1)
    assert result.metric == SquaredEuclidean()
    assert result.before.tolist() == result.after.tolist()


@given(seeds)
def test_larger_embeddings_ask_for_a_smaller_slope(seed: int) -> None:
    """Squared distances grow a hundredfold, and the slope that suits them falls about as much."""
    small, large = (suggest(ENGINE, episodes(seed, scale), 0.1).metric for scale in (5.0, 50.0))
    assert isinstance(small, LeakySquaredEuclidean)
    assert isinstance(large, LeakySquaredEuclidean)
    assert small.slope / 250 <= large.slope <= small.slope / 40


def test_too_many_classes_cannot_be_mended() -> None:
    z = np.random.default_rng(0).standard_normal((2 * 1001, 2)).astype(np.float32)
    with pytest.raises(CheckFailed, match=r"with 1001 classes even equal probabilities are below 0\.001: lower --way"):
        suggest(ENGINE, [EmbeddedEpisode(z, 1001, 1, 1)], 0.1)


def test_an_unreachable_target_says_what_was_reached() -> None:
    z = np.zeros((6, 2), np.float32)
    z[:3, 0] = (0, 1e9, 2e9)  # so far apart that no slope of the grid softens it
    z[3:] = z[:3]
    with pytest.raises(CheckFailed, match=r"down to 10 %, at best 100 %; raise --target"):
        suggest(ENGINE, [EmbeddedEpisode(z, 3, 1, 1)], 0.1)


def test_distances_that_overflow_are_told() -> None:
    z = np.full((4, 2), 1e30, np.float32)
    z[0] = -z[0]
    with pytest.raises(CheckFailed, match="episode 0 are not finite"):
        suggest(ENGINE, [EmbeddedEpisode(z, 2, 1, 1)], 0.1)
