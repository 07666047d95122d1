"""How pixels become a net's input: exact moments, the scaling itself, and the arrays that a checkpoint stores."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from leakysm.data.inputs import InputFormat, channel_moments


@given(arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 3, st.sampled_from([1, 3]))))
def test_moments_are_those_of_the_definition(images: np.ndarray) -> None:
    mean, std = channel_moments(images)
    exact = images.astype(np.longdouble) / 255
    deviation = exact.std(axis=(0, 1, 2))
    eps = np.finfo(np.float32).eps
    assert (abs(mean - exact.mean(axis=(0, 1, 2))) <= eps).all()
    assert (abs(std - np.where(deviation > 1e-9, deviation, 1)) <= eps).all()


def test_moments_of_many_images_do_not_overflow() -> None:
    images = np.full((70_000, 1, 1, 1), 255, np.uint8)
    images[::2] = 0
    mean, std = channel_moments(images)
    assert mean == np.float32(0.5)
    assert std == np.float32(0.5)


def test_floats_are_scaled_and_normalised() -> None:
    images = np.array([[[[0, 255, 51]]]], np.uint8)
    mean, std = np.array([0.5, 0.5, 0.2], np.float32), np.array([0.5, 0.25, 1], np.float32)
    floats = InputFormat(mean, std, (1, 1, 3)).to_float(images)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, [[[[-1, 2, 0]]]])
    plain = InputFormat.unscaled((1, 1, 3))
    np.testing.assert_array_equal(plain.to_float(images), images / np.float32(255))


def test_arrays_give_the_same_format_back() -> None:
    inputs = InputFormat(np.array([0.5], np.float32), np.array([0.25], np.float32), (28, 30, 1), ink=True)
    stored = inputs.to_arrays()
    assert {name: (a.dtype.name, a.shape) for name, a in stored.items()} == {
        "image_shape": ("int64", (3,)),
        "mean": ("float32", (1,)),
        "std": ("float32", (1,)),
        "ink": ("bool", ()),
    }
    back = InputFormat.of_arrays(stored)
    assert (back.image_shape, back.ink, back.mean.tolist(), back.std.tolist()) == ((28, 30, 1), True, [0.5], [0.25])
