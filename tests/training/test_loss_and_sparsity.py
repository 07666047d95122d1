"""The episode's loss over an engine's pairs against the reference's; the sparsity figures against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import leakysm as lk
from leakysm.ops.metrics import Metric
from leakysm.training.loss import episode_loss
from leakysm.training.sparsity import FIGURES, sparsity

METRICS = [lk.SquaredEuclidean(), lk.LeakySquaredEuclidean(0.5, 0.2), lk.Euclidean(), lk.Cosine()]
METRICS.append(lk.LeakySquaredEuclidean(0.1, 0.3, "coordinate"))


class Halved(lk.SquaredEuclidean):
    """Somebody's own metric, which engines must not take for the operation that it is made of."""

    def __call__(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        return 0.5 * super().__call__(x, c)

    def vjp(self, x: np.ndarray, c: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return super().vjp(x, c, 0.5 * dy)


METRICS.append(Halved())


def embeddings(seed: int, way: int, shot: int, query: int, size: int = 4) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(way * (shot + query), size))
    return z, np.repeat(np.arange(way), shot), np.repeat(np.arange(way), query)


@pytest.mark.parametrize("metric", METRICS, ids=str)
@pytest.mark.parametrize("name", ["reference", "numpy"])
@given(seed=st.integers(0, 2**32), way=st.integers(2, 5), shot=st.integers(1, 3), query=st.integers(1, 3))
def test_it_is_the_prototypical_loss_and_its_gradient(
    name: str, metric: Metric, seed: int, way: int, shot: int, query: int
) -> None:
    z, support_labels, query_labels = embeddings(seed, way, shot, query)
    result = episode_loss(lk.backend(name), metric, z, support_labels, query_labels, way)
    arguments = (z[: way * shot], support_labels, z[way * shot :], query_labels)
    loss = lk.prototypical_loss(*arguments, distance=metric)
    dz = np.concatenate(lk.prototypical_loss_vjp(*arguments, distance=metric))
    # the same few dozen operations in either: rounding of either side, with the largest terms as the scale
    scale = 1 + np.abs(z).max() ** 2
    bound = 64 * np.finfo(np.float64).eps * scale
    assert abs(result.loss - loss) <= bound
    assert result.dz.shape == z.shape
    assert np.abs(result.dz - dz).max() <= bound * scale
    assert np.abs(result.ddistances.sum(axis=1)).max() <= bound
    centres = lk.prototypes(z[: way * shot], support_labels, way)
    nearest = np.argmin(metric(z[way * shot :], centres), axis=1)
    assert result.accuracy == np.mean(nearest == query_labels)


def figures_by_definition(distances: np.ndarray, ddistances: np.ndarray, dquery: np.ndarray) -> list[float]:
    """One query after another, in plain Python."""
    n = len(distances)
    entries = [abs(n * float(g)) for g in ddistances.ravel()]
    lengths = [float(np.sqrt(sum((n * float(g)) ** 2 for g in row))) for row in dquery]
    probabilities = [np.exp(-row) / np.exp(-row).sum() for row in distances]
    return [
        sum(e < 1e-3 for e in entries) / len(entries),
        sum(v < 1e-2 * max(lengths) for v in lengths) / n,
        sum(lengths) / n,
        float(distances.mean()),
        sum(p.max() for p in probabilities) / n,
    ]


@given(seed=st.integers(0, 2**32), spread=st.sampled_from([0.1, 1.0, 5.0]))
@example(seed=0, spread=5.0)
def test_the_figures_follow_their_definition(seed: int, spread: float) -> None:
    z, support_labels, query_labels = embeddings(seed, 5, 1, 3)
    result = episode_loss(lk.backend("reference"), lk.SquaredEuclidean(), z * spread, support_labels, query_labels, 5)
    found = sparsity(result.distances, result.ddistances, result.dz[5:])
    expected = figures_by_definition(result.distances, result.ddistances, result.dz[5:])
    scale = np.maximum(1, np.abs(expected))
    assert found.shape == (len(FIGURES),)
    assert np.all(np.abs(found - expected) <= 32 * np.finfo(np.float64).eps * scale)


def test_a_saturated_softmax_shows() -> None:
    z, support_labels, query_labels = embeddings(3, 5, 1, 3)
    calm, wild = (
        sparsity(r.distances, r.ddistances, r.dz[5:])
        for r in (
            episode_loss(lk.backend("reference"), lk.SquaredEuclidean(), z * spread, support_labels, query_labels, 5)
            for spread in (0.1, 30)
        )
    )
    assert calm[0] == 0
    assert wild[0] > 0.5  # 4 of 5 entries of a query that is right, 3 of 5 of one that is wrong
    assert wild[4] > 0.99 > calm[4]


def test_the_figures_do_not_depend_on_how_often_a_query_stands_there() -> None:
    z, support_labels, query_labels = embeddings(3, 4, 1, 2)
    twice = np.concatenate([z, z[4:]])
    labels = np.concatenate([query_labels, query_labels])
    once, doubled = (
        episode_loss(lk.backend("reference"), lk.SquaredEuclidean(), a, support_labels, b, 4)
        for a, b in ((z, query_labels), (twice, labels))
    )
    one, two = (sparsity(r.distances, r.ddistances, r.dz[4:]) for r in (once, doubled))
    assert np.all(np.abs(one - two) <= 32 * np.finfo(np.float64).eps * np.maximum(1, one))


def test_huge_and_tiny_gradients_have_a_length() -> None:
    distances = np.zeros((2, 2), np.float32)
    for size in (1e-30, 1e30):
        dquery = np.full((2, 4), size, np.float32)
        found = sparsity(distances, distances, dquery)
        expected = 2 * np.sqrt(np.float64(4)) * np.float64(np.float32(size))
        assert abs(found[2] - expected) <= 8 * np.finfo(np.float32).eps * expected
