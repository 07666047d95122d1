"""The engine's prototypes beside the reference's: equal shots in one sum, all else as the reference does it."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leakysm.backends.numpy.engine import NumpyEngine
from leakysm.backends.protocol import reference_pair
from leakysm.errors import UserError
from leakysm.verify.case import Case
from tests.within_bounds import assert_within_bounds

ENGINE, REFERENCE = NumpyEngine(1).operation("prototypes"), reference_pair("prototypes")


def episode(seed, way, shot, width, dtype):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(way), shot))
    return (
        rng.standard_normal((way * shot, width)).astype(dtype),
        labels,
        rng.standard_normal((way, width)).astype(dtype),
    )


@given(
    st.integers(0, 99), st.integers(1, 7), st.integers(1, 6), st.integers(0, 5), st.sampled_from(["float32", "float64"])
)
@example(0, 60, 1, 64, "float32")
def test_equal_shots_are_means_within_their_bounds(seed, way, shot, width, dtype):
    z, labels, dy = episode(seed, way, shot, width, dtype)
    y, saved = ENGINE.forward(z, labels, way)
    expected, kept = REFERENCE.forward(z, labels, way)
    assert y.dtype == expected.dtype
    assert y.flags.c_contiguous
    case = Case("prototypes", "equal shots", (z.astype("float64"), labels, way), dy.astype("float64"), {}, ("random",))
    assert_within_bounds(case, "value", dtype, [y])
    np.testing.assert_array_equal(ENGINE.backward(saved, dy), REFERENCE.backward(kept, dy))


def test_unequal_shots_and_one_shot_are_the_reference_s_bit_for_bit():
    z, _, _ = episode(0, 5, 2, 4, "float32")
    for labels, way in ((np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2]), 3), (np.arange(10)[::-1].copy(), 10)):
        np.testing.assert_array_equal(ENGINE.forward(z, labels, way)[0], REFERENCE.forward(z, labels, way)[0])


def test_a_mean_of_the_largest_numbers_does_not_overflow():
    z = np.full((6, 2), np.finfo(np.float32).max, np.float32)
    assert np.isfinite(ENGINE.forward(z, np.array([0, 1, 0, 1, 0, 1]), 2)[0]).all()


@pytest.mark.parametrize(
    ("labels", "way"),
    [([0, 1, 1, 2], 2), ([-1, 0, 1, 2], 4), ([0, 0, 1, 1], 3), ([0, 1, 0], 2), ([0.0, 1.0, 0.0, 1.0], 2)],
)
def test_wrong_arguments_are_told_as_the_reference_tells_them(labels, way):
    z = np.ones((4, 3), np.float32)
    with pytest.raises(UserError) as expected:
        REFERENCE.forward(z, np.array(labels), way)
    with pytest.raises(UserError) as found:
        ENGINE.forward(z, np.array(labels), way)
    assert str(found.value) == str(expected.value)


def test_a_cotangent_of_the_wrong_shape_or_dtype_is_refused():
    z, labels, dy = episode(0, 3, 2, 4, "float32")
    _, saved = ENGINE.forward(z, labels, 3)
    for wrong in (dy[:2], dy.astype(np.float64)):
        with pytest.raises(UserError):
            ENGINE.backward(saved, wrong)
