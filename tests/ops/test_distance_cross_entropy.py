"""The loss on given prototypes is the cross-entropy of their negative distances, whatever the number of classes."""

from __future__ import annotations

import numpy as np
import pytest

import leakysm as lk
from leakysm.ops.distance_cross_entropy import DISTANCES
from leakysm.verify.case import Case
from tests.within_bounds import assert_within_bounds

METRIC = lk.LeakySquaredEuclidean(threshold=1.0, slope=0.1)


def test_several_runs_of_classes_keep_the_bounds():
    """300 queries and 11,000 classes: more distances than a run holds."""
    rng = np.random.default_rng(1)
    x, c = rng.standard_normal((300, 2)) / 4, rng.standard_normal((11_000, 2)) / 4
    assert len(x) * len(c) > 3 * DISTANCES
    labels = rng.integers(0, len(c), len(x))
    labels[:2] = len(c) - 1, 0
    y = lk.distance_cross_entropy(x, c, labels, distance=METRIC)
    d = METRIC(x, c)
    logits = -d
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(x)), labels] -= 1
    dx, dc = lk.distance_cross_entropy_vjp(x, c, labels, distance=METRIC)
    expected = METRIC.vjp(x, c, -p / len(x))
    np.testing.assert_allclose(y, lk.cross_entropy(logits, labels), rtol=1e-13)
    np.testing.assert_allclose(dx, expected[0], rtol=1e-9, atol=1e-16)
    np.testing.assert_allclose(dc, expected[1], rtol=1e-9, atol=1e-16)


@pytest.mark.parametrize("label", [0, 1, 2, 3])
def test_equal_prototypes_share_the_probability(label):
    """The label may be the first of equal maxima, another of them, or none."""
    x, c = np.zeros((1, 2)), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    case = Case(
        "distance_cross_entropy", "equal", (x, c, np.array([label])), np.array(1.0), {"distance": METRIC}, ("ties",)
    )
    assert_within_bounds(case, "vjp", "float64", lk.distance_cross_entropy_vjp(*case.arguments, distance=METRIC))


def test_a_right_and_certain_query_keeps_its_digits():
    """p is 1 - e^-100: the loss and the gradient are e^-100, not 0."""
    x, c = np.zeros((1, 1)), np.array([[0.0], [10.0]])
    loss = lk.distance_cross_entropy(x, c, [0], distance=lk.SquaredEuclidean())
    dx, _ = lk.distance_cross_entropy_vjp(x, c, [0], distance=lk.SquaredEuclidean())
    np.testing.assert_allclose([loss, dx[0, 0] / 20], np.exp(-100.0), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: lk.distance_cross_entropy(x, x, [0, 2], distance=METRIC), "labels run from 0 to 2"),
        (lambda x: lk.distance_cross_entropy(x, x[:0], [0, 0], distance=METRIC), "labels run from 0 to 0"),
        (lambda x: lk.distance_cross_entropy(x, x[:, :1], [0, 1], distance=METRIC), "c has shape"),
        (lambda x: lk.distance_cross_entropy(x, x, [0, 1], distance="leaky"), "a metric is expected"),
        (lambda x: lk.distance_cross_entropy(x, x, [0, 1], distance=lk.Euclidean), r"write Euclidean\(...\)"),
        (lambda x: lk.distance_cross_entropy_vjp(x, x, [0, 1], np.ones(2), distance=METRIC), "dy has shape"),
        (lambda x: lk.distance_cross_entropy_vjp(x, x, [0, 1], True, distance=METRIC), "a number or 0-d array"),
    ],
)
def test_a_wrong_argument_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(np.zeros((2, 2)))
