"""Winograd's convolution in the block: near the reference, the same for any threads, direct where it cannot gain.

Its own error bounds are held by the verification suite (tests/verify/test_winograd.py).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leakysm import ops
from leakysm.backends.numpy.block.chunks import Tiling
from leakysm.backends.numpy.engine import NumpyEngine
from tests.backends.cupy.block_cases import Block, assert_close, block, block_scales

SMALL = Tiling(tiles=50_000)  # bands of few rows of tiles
shapes = st.tuples(
    st.integers(1, 4), st.integers(6, 30), st.integers(6, 30), st.sampled_from([16, 32, 64]), st.integers(1, 20)
)


def run(case: Block, *, threads: int = 2, tiling: Tiling = SMALL, convolution: str = "winograd") -> list[np.ndarray]:
    pair = NumpyEngine(threads, convolution=convolution, blocks=tiling).operation("conv_block")
    outputs, saved = pair.forward(*case.arguments)
    return [*outputs, *pair.backward(saved, case.dy)]


@settings(max_examples=5)
@given(shape=shapes, tiling=st.sampled_from([SMALL, Tiling()]))
@example(shape=(3, 6, 6, 16, 16), tiling=SMALL)
@example(shape=(2, 29, 30, 32, 8), tiling=SMALL)
@example(shape=(1, 14, 13, 64, 64), tiling=Tiling())
@example(shape=(9, 7, 7, 16, 5), tiling=Tiling())
def test_matches_the_reference(shape, tiling):
    """Whole numbers: products and sums over tiles are exact, and so the true ties are found, at scales of any sign."""
    case = block(1, shape)
    exact = case.astype("float64")
    expected = (*ops.conv_block(*exact.arguments), *ops.conv_block_vjp(*exact))
    scales, k = block_scales(case), 4 * np.sqrt(9 * shape[3] + shape[0] * shape[1] * shape[2])
    for found, value, scale, name in zip(run(case, tiling=tiling), expected, scales, scales._fields, strict=True):
        assert found.dtype == np.float32
        assert_close(found, value, scale, k, name)


@settings(max_examples=4)
@given(shape=shapes, seed=st.integers(0, 9))
def test_threads_do_not_change_a_bit(shape, seed):
    case = block(seed, shape, exact=False)
    for one, three in zip(run(case, threads=1), run(case, threads=3), strict=True):
        np.testing.assert_array_equal(one, three)


def test_it_has_rounding_errors_of_its_own():
    """Else nothing here tests it."""
    case = block(3, (2, 8, 8, 16, 4), exact=False)
    assert not np.array_equal(run(case)[0], run(case, convolution="direct")[0])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((8, 8, 15), "float32"), ((5, 8, 16), "float32"), ((8, 5, 16), "float32"), ((8, 8, 16), "float64")],
)
def test_few_channels_small_images_and_float64_are_direct(shape, dtype):
    case = block(3, (2, *shape, 4), dtype, exact=False)
    for found, direct in zip(run(case), run(case, convolution="direct"), strict=True):
        np.testing.assert_array_equal(found, direct)


def test_pixels_whose_sums_over_a_tile_overflow():
    """The outputs do not: each kernel has one tap."""
    case = block(4, (2, 6, 6, 16, 3), exact=False)
    largest = np.finfo(np.float32).max * np.sign(case.x)
    w = np.zeros_like(case.w)
    w[1, 1, 0] = 2.0**-100
    found, direct = (run(Block(largest, w, *case[2:]), convolution=c)[:3] for c in ("winograd", "direct"))
    for a, b in zip(found, direct, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


def test_leaving_out_dx_changes_nothing_else():
    case = block(2, (2, 7, 8, 16, 5), exact=False)
    pair = NumpyEngine(2, convolution="winograd").operation("conv_block")
    saved = pair.forward(*case.arguments)[1]
    dx, *others = pair.backward(saved, case.dy, needs_dx=False)
    assert dx is None
    for one, other in zip(others, pair.backward(saved, case.dy)[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_nan_reaches_the_outputs_that_rest_on_it():
    case = block(6, (2, 6, 6, 16, 3), exact=False)
    case.x[0, 2, 0, 0] = np.nan
    for found, value in zip(run(case)[:3], ops.conv_block(*case.arguments), strict=True):
        np.testing.assert_array_equal(np.isnan(found), np.isnan(value))
