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


def enough(metric: Any, made: list[EmbeddedEpisode], target: float | None) -> bool:
    """Whether the target is met; without one, whether the mean of 2 s sqrt(d) over the pairs is at most 1."""
    if target:
        return vanished(metric, made) <= target
    slope = metric.slope if isinstance(metric, LeakySquaredEuclidean) else 1
    roots = []
    for one in made:
        prototypes = one.z[: one.way]  # of one image each
        queries = one.z[one.way :]
        roots.append(np.sqrt(((queries[:, None].astype(float) - prototypes) ** 2).sum(axis=2)).mean())
    return bool(2 * slope * np.mean(roots) <= 1)


@given(seeds, scales, st.sampled_from([None, 0.02, 0.1, 0.3]))
def test_the_target_is_met_and_no_less_would_do(seed: int, scale: float, target: float | None) -> None:
    made = episodes(seed, scale)
    result = suggest(ENGINE, made, target)
    assert result.after.tolist() == mean_figures(ENGINE, result.metric, made).tolist()
    assert result.before.tolist() == mean_figures(ENGINE, SquaredEuclidean(), made).tolist()
    *less, (last, _) = result.tried
    assert last == result.metric
    assert enough(last, made, target)
    assert not any(enough(metric, made, target) for metric, _ in less)
    assert all(part == vanished(metric, made) for metric, part in result.tried)
    slopes = [1.0, 0.3, 0.1, 0.03, 0.01, 0.003]
    found = [metric.slope if isinstance(metric, LeakySquaredEuclidean) else 1 for metric, _ in result.tried[:6]]
    assert found == slopes[: len(found)]


@given(seeds, st.sampled_from([None, 0.1]))
def test_no_restriction_where_none_is_needed(seed: int, target: float | None) -> None:
    made = episodes(seed, 0.05)
    assume(vanished(SquaredEuclidean(), made) <= 0.1)
    result = suggest(ENGINE, made, target)
    assert result.metric == SquaredEuclidean()
    assert result.before.tolist() == result.after.tolist()


@given(seeds)
def test_the_slope_falls_like_the_unsquared_distance(seed: int) -> None:
    """Ten times the embeddings, a tenth of the slope: two steps of the grid."""
    small, large = (suggest(ENGINE, episodes(seed, scale)).metric for scale in (5.0, 50.0))
    assert isinstance(small, LeakySquaredEuclidean)
    assert isinstance(large, LeakySquaredEuclidean)
    assert large.slope == pytest.approx(small.slope / 10)


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
    with pytest.raises(CheckFailed, match="the slope would be below 1e-08; scale the embeddings down"):
        suggest(ENGINE, [EmbeddedEpisode(z, 3, 1, 1)])


def test_distances_that_overflow_are_told() -> None:
    z = np.full((4, 2), 1e30, np.float32)
    z[0] = -z[0]
    with pytest.raises(CheckFailed, match="episode 0 are not finite"):
        suggest(ENGINE, [EmbeddedEpisode(z, 2, 1, 1)], 0.1)
