"""The plain CuPy path, run on NumPy arrays, against the reference operations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leakysm import ops
from leakysm.backends.cupy.plain import plain_pairs
from leakysm.backends.reference import ReferenceEngine
from leakysm.errors import UserError
from tests.backends.cupy.block_cases import FAR, SHAPES, assert_close, assert_scaled, block, block_scales

PAIRS = plain_pairs(np)
batches = st.sampled_from([s for s in SHAPES if s[0] * s[1] * s[2] > 1])


@given(st.integers(0, 2**32), batches, st.sampled_from(["float32", "float64"]), st.booleans())
@example(0, (2, 7, 7, 3, 5), "float32", True)
def test_block_matches_the_reference(seed, shape, dtype, needs_dx):
    case = block(seed, shape, dtype)
    outputs, saved = PAIRS["conv_block"].forward(*case.arguments)
    gradients = PAIRS["conv_block"].backward(saved, case.dy, needs_dx=needs_dx)
    exact = ops.conv_block(*case.astype("float64").arguments), ops.conv_block_vjp(*case.astype("float64"))
    scales = block_scales(case)
    k = 4 * np.sqrt(9 * shape[3] + shape[0] * shape[1] * shape[2])
    for computed, expected, scale, name in zip(
        (*outputs, *gradients), (*exact[0], *exact[1]), scales, scales._fields, strict=True
    ):
        if name == "dx" and not needs_dx:
            assert computed is None
        else:
            assert_close(computed, expected, scale, k, name)


@given(st.integers(0, 2**32), st.sampled_from(SHAPES), st.sampled_from(["float32", "float64"]))
def test_convolution_matches_the_reference(seed, shape, dtype):
    case = block(seed, shape, dtype, exact=False)
    dy = np.random.default_rng(seed).normal(size=(*shape[:3], shape[4])).astype(dtype)
    y, saved = PAIRS["conv2d"].forward(case.x, case.w)
    dx, dw = PAIRS["conv2d"].backward(saved, dy)
    x, w, g = case.x.astype("float64"), case.w.astype("float64"), dy.astype("float64")
    assert_close(y, ops.conv2d(x, w), ops.conv2d(abs(x), abs(w)), 2 * np.sqrt(9 * shape[3]), "y")
    exact, scale = ops.conv2d_vjp(x, w, g), ops.conv2d_vjp(abs(x), abs(w), abs(g))
    assert_close(dx, exact[0], scale[0], 2 * np.sqrt(9 * shape[4]), "dx")
    assert_close(dw, exact[1], scale[1], 2 * np.sqrt(shape[0] * shape[1] * shape[2] + 1), "dw")


def test_half_precision_is_the_reference():
    case = block(0, (2, 7, 7, 3, 5), "float16", exact=False)
    engine = ReferenceEngine()
    engine.pairs = PAIRS
    pair = engine.operation("conv_block")
    outputs, saved = pair.forward(*case.arguments)
    for ours, theirs in zip(outputs, ops.conv_block(*case.arguments), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(pair.backward(saved, case.dy), ops.conv_block_vjp(*case), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_one_value_a_channel_is_refused():
    with pytest.raises(UserError, match="fewer than 2 values a channel"):
        PAIRS["conv_block"].forward(*block(0, (1, 1, 1, 2, 2)).arguments)


def test_inputs_stay_as_they_are_and_may_be_read_only():
    case = block(1, (2, 7, 7, 3, 5))
    before = [a.copy() for a in case]
    for a in case:
        a.flags.writeable = False
    _, saved = PAIRS["conv_block"].forward(*case.arguments)
    PAIRS["conv_block"].backward(saved, case.dy)
    for a, b in zip(case, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("dtype", "exponent"), FAR)
def test_outputs_whose_squares_leave_the_dtype(dtype, exponent):
    assert_scaled(PAIRS["conv_block"], 2, dtype, exponent)
