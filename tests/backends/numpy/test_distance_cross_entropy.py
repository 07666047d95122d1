"""The loss over tiles of classes: within its bounds however it is cut, and in little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import leakysm as lk
from leakysm.backends.numpy.distance_cross_entropy import LossTiling
from leakysm.backends.numpy.engine import NumpyEngine
from leakysm.verify.adapters.engine import EngineImplementation
from leakysm.verify.conformance import OWN_DTYPES, Settings, conform

LEAKY = lk.LeakySquaredEuclidean(threshold=1.0, slope=0.1)


def test_within_the_bounds_in_small_tiles():
    settings = Settings(dtypes=OWN_DTYPES, strict=True, examples=5, most_numbers=100)
    engine = EngineImplementation(NumpyEngine(2, losses=LossTiling(queries=3, classes=2, values=4)))
    report = conform(engine, operations=["distance_cross_entropy"], settings=settings)
    assert [row.status for row in report.rows] == ["passed"], [row.problem for row in report.rows]


@pytest.mark.parametrize("infinite", [slice(0, 2), slice(2, 4), slice(0, 4)])
def test_infinite_distances_are_probability_0_in_any_tile(infinite):
    """Classes whose distances overflow, in a tile of their own before or after the others, or all of them."""
    x, c = np.zeros((1, 2), np.float32), np.array([[1.0, 0.0], [0.0, 0.5], [0.25, 0.0], [2.0, 1.0]], np.float32)
    c[infinite] = 3e38
    operation = NumpyEngine(1, losses=LossTiling(queries=1, classes=2)).operation("distance_cross_entropy")
    label = np.array([(infinite.start + 2) % 4])
    y, saved = operation.forward(x, c, label, distance=lk.SquaredEuclidean())
    expected = lk.cross_entropy(-lk.squared_euclidean(x, c), label)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    assert np.isnan(y) == (infinite == slice(0, 4))
    if np.isfinite(y):
        finite = np.delete(np.arange(4), np.arange(4)[infinite])
        few = lk.distance_cross_entropy_vjp(
            x, c[finite], np.array([list(finite).index(label[0])]), distance=lk.SquaredEuclidean()
        )
        np.testing.assert_allclose(operation.backward(saved)[1][finite], few[1], rtol=1e-5)


def test_memory_does_not_grow_with_classes():
    """A tile's buffers, and nothing of the size of all distances, 48 MB here."""
    rng = np.random.default_rng(0)
    x, c = rng.standard_normal((400, 4), np.float32), rng.standard_normal((30_000, 4), np.float32)
    operation = NumpyEngine(2).operation("distance_cross_entropy")
    labels = rng.integers(0, len(c), len(x))
    operation.forward(x, c[:2000], labels % 2000, distance=LEAKY)
    tracemalloc.start()
    _, saved = operation.forward(x, c, labels, distance=LEAKY)
    operation.backward(saved)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 16e6


class Halved(lk.SquaredEuclidean):
    """Somebody's own metric, which is not the operation that it is made of."""

    def __call__(self, x, c):
        return super().__call__(x, c) / 2

    def vjp(self, x, c, dy):
        return super().vjp(x, c, dy / 2)


def test_somebodys_own_metric_is_called():
    x, c = (np.random.default_rng(k).normal(size=(5, 3)).astype(np.float32) for k in (0, 1))
    labels, operation = np.arange(5), lk.backend("numpy").operation("distance_cross_entropy")
    y, saved = operation.forward(x, c, labels, distance=Halved())
    assert y == lk.distance_cross_entropy(x, c, labels, distance=Halved())
    assert y != operation.forward(x, c, labels, distance=lk.SquaredEuclidean())[0]
    gradients = operation.backward(saved)
    for ours, expected in zip(gradients, lk.distance_cross_entropy_vjp(x, c, labels, distance=Halved()), strict=True):
        np.testing.assert_array_equal(ours, expected)
