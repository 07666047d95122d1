"""Laws of prototypes, log-softmax, cross-entropy and the prototypical loss."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import leakysm as lk
from leakysm.errors import UserError
from leakysm.verify.case import Case
from leakysm.verify.strategies import arrays, episodes, labels, logits, metrics, support_labels
from tests.within_bounds import assert_within_bounds

from .namespaces import LIBRARIES

inf, nan = np.inf, np.nan


@st.composite
def rows(draw, dtype="float32"):
    z = draw(logits(dtype)).astype(dtype)
    return z, draw(labels(*z.shape))


@given(rows())
def test_never_nan_and_probabilities_sum_to_one(call):
    z, y = call
    loss, gradient = lk.cross_entropy(z, y), lk.cross_entropy_vjp(z, y)
    assert not np.isnan(loss)
    assert np.all(np.isfinite(gradient))
    assert loss >= 0
    eps = np.finfo(z.dtype).eps
    assert np.all(np.abs(gradient.sum(1)) <= (4 + z.shape[1]) * eps * np.abs(gradient).sum(1))


@given(rows("float64"), st.randoms(use_true_random=False))
def test_permuting_the_classes_permutes_the_gradient(call, random):
    z, y = call
    order = np.asarray(random.sample(range(z.shape[1]), z.shape[1]))
    moved = lk.cross_entropy_vjp(z[:, order], np.argsort(order)[y])
    scale = np.abs(lk.cross_entropy_vjp(z, y)[:, order])
    np.testing.assert_array_less(
        np.abs(moved - lk.cross_entropy_vjp(z, y)[:, order]), 16 * np.finfo(np.float64).eps * scale + 1e-300
    )


def test_saturated_rows_keep_their_relative_accuracy():
    """p - 1 would be 0 here, and log(p) too."""
    z = np.array([[0.0, -100.0, -101.0]])
    tail = np.exp(-100.0) + np.exp(-101.0)
    eps = np.finfo(np.float64).eps
    assert abs(float(lk.cross_entropy(z, [0])) - tail) <= 400 * eps * tail
    assert abs(float(lk.cross_entropy_vjp(z, [0])[0, 0]) + tail) <= 400 * eps * tail
    assert float(lk.cross_entropy(z, [1])) == 100


@pytest.mark.parametrize(
    ("row", "label", "loss"),
    [
        ([-inf, 0.0], 1, 0.0),
        ([-inf, 0.0], 0, inf),
        ([-inf, -inf], 0, nan),
        ([inf, 0.0], 0, nan),
        ([inf, 0.0], 1, nan),
        ([nan, 0.0], 1, nan),
        ([0.0, nan], 0, nan),
        ([7.0], 0, 0.0),
        ([-inf], 0, nan),
        ([inf], 0, nan),
    ],
)
def test_infinite_logits(row, label, loss):
    z = np.array([row])
    np.testing.assert_array_equal(lk.cross_entropy(z, [label]), loss)
    gradient = lk.cross_entropy_vjp(z, [label])
    assert np.all(np.isnan(gradient)) if np.isnan(loss) else np.all(np.isfinite(gradient))
    assert np.all(np.isnan(lk.log_softmax(z))) == bool(np.isnan(loss))


def test_a_large_loss_overflows_only_if_the_mean_does():
    big = np.finfo(np.float32).max
    z = np.array([[big, -big], [0, -big]], np.float32)
    assert lk.cross_entropy(z[:1], [1]) == inf
    assert np.isfinite(lk.cross_entropy(z, [1, 0]))


def test_the_mean_of_no_rows_is_zero():
    z = np.ones((0, 3), np.float32)
    assert lk.cross_entropy(z, []) == 0
    assert lk.cross_entropy_vjp(z, np.zeros(0, int)).shape == (0, 3)
    assert lk.log_softmax(np.ones((2, 0))).shape == (2, 0)


@pytest.mark.parametrize("dy", [None, "1", True, [1.0], 1j])
def test_a_cotangent_that_is_no_number(dy):
    with pytest.raises(ValueError, match=r"dy is .*; a number or 0-d array is expected"):
        lk.cross_entropy_vjp(np.ones((2, 3)), [0, 1], dy)


def test_masked_arrays_are_refused():
    masked = np.ma.masked_invalid([[1.0, nan]])
    with pytest.raises(ValueError, match="x is a masked array; a plain one is expected"):
        lk.squared_euclidean(masked, np.ones((1, 2)))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([0, 3], "0 to 2 is expected"),
        ([-1, 0], "labels run from -1"),
        ([0.0, 1.0], "integers are expected"),
        ([True, False], "integers are expected"),
        ([0], r"labels has shape \(1,\)"),
    ],
)
def test_bad_labels(bad, message):
    z = np.ones((2, 3))
    for call in (
        lambda: lk.cross_entropy(z, np.asarray(bad)),
        lambda: lk.cross_entropy_vjp(z, bad),
        lambda: lk.prototypes(z, bad, 3),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@given(support_labels(3), st.data())
def test_prototypes_of_equal_shots_are_the_shot_and_order_does_not_matter(marks, data):
    z = data.draw(arrays((3, 4), "float32"))
    case = Case("prototypes", "equal shots", (z[marks], marks, 3), z, {}, ("random",))
    assert_within_bounds(case, "value", "float64", [lk.prototypes(z[marks], marks, 3)])
    order = np.argsort(marks, kind="stable")
    eps = np.finfo(float).eps
    embeddings = data.draw(arrays((len(marks), 2), "float32"))
    one, other = lk.prototypes(embeddings, marks, 3), lk.prototypes(embeddings[order], marks[order], 3)
    assert np.all(np.abs(one - other) <= 16 * eps * lk.prototypes(np.abs(embeddings), marks, 3))


def test_prototypes_of_bad_calls():
    z = np.ones((2, 3))
    for call, message in [
        (lambda: lk.prototypes(z, [0, 0], 2), "class 1 of 2 has no example"),
        (lambda: lk.prototypes(z, [0, 1], 2.5), "n_classes is 2.5"),
        (lambda: lk.prototypes(z, [0, 1], -1), "n_classes is -1"),
        (lambda: lk.prototypical_loss(z[:0], [], z, [0, 0], distance=lk.Euclidean()), "support has no examples"),
        (lambda: lk.prototypical_loss(z, [0, 2], z, [0, 0], distance=lk.Euclidean()), "class 1 of 3 has no example"),
        (lambda: lk.prototypical_loss(z, [0, 1], z, [0, 2], distance=lk.Euclidean()), "labels run from 0 to 2"),
        (lambda: lk.prototypical_loss(z, [0, 10**9], z, [0, 0], distance=lk.Euclidean()), "class 1 of 1000000001"),
        (lambda: lk.prototypical_loss(z, [0, 1], z, [0, 1], distance="leaky"), "distance is 'leaky'"),
        (lambda: lk.prototypical_loss_vjp(z, [0, 1], z, [0, 1], distance=lk.euclidean), "a metric is expected"),
        (lambda: lk.cross_entropy(z, 0), "labels is 0"),
        (lambda: lk.cross_entropy(z, [[0], [0, 1]]), "a list or array of integers"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_the_mean_of_large_values_does_not_overflow():
    z = np.full((4, 1), np.finfo(np.float32).max, np.float32)
    np.testing.assert_array_equal(lk.prototypes(z, [0, 0, 0, 0], 1), z[:1])


@given(episodes("float32"), metrics())
def test_the_prototypical_loss_is_its_three_steps(episode, metric):
    support, marks, query, targets = episode
    c = lk.prototypes(support, marks, int(marks.max()) + 1)
    np.testing.assert_array_equal(
        lk.prototypical_loss(support, marks, query, targets, distance=metric),
        lk.cross_entropy(-metric(query, c), targets),
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_labels_of_every_integer_dtype(dtype, library):
    """256 classes and more are not counted in the labels' own dtype, where they would wrap."""
    convert = LIBRARIES[library]
    z = np.random.Generator(np.random.Philox(4)).standard_normal((4, 300))
    marks = np.array([0, 1, 2, 3])
    for f in (lk.cross_entropy, lk.cross_entropy_vjp):
        narrow = f(convert(z), convert(marks.astype(dtype)))
        np.testing.assert_array_equal(np.asarray(narrow), np.asarray(f(convert(z), convert(marks))))
    dz = lk.prototypes_vjp(convert(z), convert(marks.astype(dtype)), 4, convert(z))
    np.testing.assert_array_equal(np.asarray(dz), z)


@pytest.mark.parametrize("dtype", [">i8", "<i8", "<u8"])
def test_labels_beyond_32_bits_are_not_wrapped(dtype: str) -> None:
    with pytest.raises(UserError, match="4294967296"):
        lk.cross_entropy(np.zeros((2, 3)), np.array([2**32, 1], dtype))


def test_a_query_all_of_whose_distances_overflow_has_no_loss() -> None:
    support, query = np.array([[1e30], [1e25]], np.float32), np.array([[-1e30], [0]], np.float32)
    for classes in (1, 2):
        marks = np.arange(classes)
        few = support[:classes], marks, query[:1], marks[:1]
        assert np.isnan(lk.prototypical_loss(*few, distance=lk.SquaredEuclidean()))
        assert np.isfinite(lk.prototypical_loss(*few, distance=lk.Euclidean()))
