"""The fused block against the reference and the verification suite's bounds, however the batch is cut into chunks."""

from __future__ import annotations

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leakysm import ops
from leakysm.backends.numpy.block.chunks import Tiling
from leakysm.backends.numpy.engine import NumpyEngine
from leakysm.backends.reference import ReferenceEngine
from leakysm.errors import UserError
from leakysm.verify.adapters.engine import EngineImplementation
from leakysm.verify.conformance import OWN_DTYPES, Settings, conform
from tests.backends.cupy.block_cases import FAR, Block, assert_close, assert_scaled, block, block_scales

TINY = Tiling(cache=2_000)  # a few rows
shapes = st.tuples(
    st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5)
).filter(lambda s: s[0] * s[1] * s[2] > 1)


def run(engine: NumpyEngine, case: Block) -> tuple[np.ndarray, ...]:
    pair = engine.operation("conv_block")
    outputs, saved = pair.forward(*case.arguments)
    return (*outputs, *pair.backward(saved, case.dy))


@pytest.mark.parametrize("operation", ["conv_block", "conv_block_inference"])
def test_within_the_bounds_in_small_tiles(operation):
    settings = Settings(dtypes=OWN_DTYPES, strict=True, examples=5, most_numbers=1_000)
    report = conform(EngineImplementation(NumpyEngine(2, blocks=TINY)), operations=[operation], settings=settings)
    assert [row.status for row in report.rows] == ["passed"], [row.problem for row in report.rows]


@given(shape=shapes, dtype=st.sampled_from(["float32", "float64"]), cache=st.sampled_from([2_000, 20_000, 1 << 20]))
@example(shape=(1, 7, 7, 1, 1), dtype="float32", cache=2_000)
@example(shape=(1, 83, 85, 1, 3), dtype="float32", cache=20_000)
@example(shape=(1, 83, 85, 4, 3), dtype="float32", cache=20_000)
@example(shape=(3, 13, 9, 64, 64), dtype="float32", cache=1 << 20)
@example(shape=(40, 14, 14, 1, 8), dtype="float32", cache=1 << 20)
@example(shape=(2, 1, 300, 3, 2), dtype="float32", cache=2_000)
def test_matches_the_reference(shape, dtype, cache):
    case = block(1, shape, dtype)
    exact = case.astype("float64")
    expected = (*ops.conv_block(*exact.arguments), *ops.conv_block_vjp(*exact))
    computed = run(NumpyEngine(2, blocks=Tiling(cache=cache)), case)
    scales = block_scales(case)
    k = 4 * np.sqrt(9 * shape[3] + shape[0] * shape[1] * shape[2])
    for result, value, scale, name in zip(computed, expected, scales, scales._fields, strict=True):
        assert result.dtype == dtype
        assert_close(result, value, scale, k, name)


@given(shape=shapes, seed=st.integers(0, 9), dtype=st.sampled_from(["float32", "float64"]))
def test_threads_do_not_change_a_bit(shape, seed, dtype):
    case = block(seed, shape, dtype, exact=False)
    one, three = (run(NumpyEngine(threads, blocks=TINY), case) for threads in (1, 3))
    for a, b in zip(one, three, strict=True):
        np.testing.assert_array_equal(a, b)


@given(shape=shapes, dtype=st.sampled_from(["float32", "float64"]))
@example(shape=(3, 8, 8, 1, 4), dtype="float32")
def test_leaving_out_dx_changes_nothing_else(shape, dtype):
    """Few channels take another way to dw then; it is held to the same distance from the reference."""
    case = block(2, shape, dtype)
    pair = NumpyEngine(2).operation("conv_block")
    dx, *computed = pair.backward(pair.forward(*case.arguments)[1], case.dy, needs_dx=False)
    assert dx is None
    expected = ops.conv_block_vjp(*case.astype("float64"))[1:]
    k = 4 * np.sqrt(9 * shape[3] + shape[0] * shape[1] * shape[2])
    for result, value, scale in zip(computed, expected, block_scales(case)[-3:], strict=True):
        assert_close(result, value, scale, k)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("images", [2, 3, 8, 32, 97, 1000, 2500])
@pytest.mark.parametrize("first", [0, 1])
def test_dshift_within_its_bound_where_every_rounding_goes_the_same_way(dtype, channels, images, first):
    case = block(1, (images, 2, 2, channels, 3), dtype)
    u = np.finfo(dtype).eps / 2
    dy = np.full_like(case.dy, u * (1 + 2**-10))  # beside 1, each is rounded up to 2 u
    dy[first] = 1
    x, w, scale, shift = case.arguments
    dshift = run(NumpyEngine(2), Block(x, w, scale, np.full_like(shift, 1e3), dy))[-1]
    exact = sum(Fraction(float(term)) for term in dy[:, 0, 0, 0])
    bound = (math.log2(4 * images) + 1) * u * float(exact)
    assert abs(Fraction(float(dshift[0])) - exact) <= bound


@pytest.mark.parametrize("mean", [0.0, 1e3, 1e6])
def test_few_channels_keep_their_variance_far_from_zero(mean):
    """Second moments of pixels near 10^6 that differ by 1: nothing cancels, since they are summed in float64."""
    random = np.random.default_rng(3)
    x = (mean + random.integers(-2, 3, (4, 8, 8, 1))).astype("float32")
    w = np.zeros((3, 3, 1, 2), "float32")
    w[1, 1, 0, 0], w[1, 0, 0, 1] = 1, -2
    ones = np.ones(2, "float32")
    (_, mean_found, variance), _ = NumpyEngine(2).operation("conv_block").forward(x, w, ones, ones)
    z = ops.conv2d(x.astype("float64"), w.astype("float64"))
    eps = np.finfo("float32").eps
    assert np.all(abs(mean_found - z.mean((0, 1, 2))) <= eps * abs(z).mean((0, 1, 2)))
    assert np.all(abs(variance - z.var((0, 1, 2))) <= eps * (z.var((0, 1, 2)) + abs(z).max() * z.std((0, 1, 2))))


def test_a_backward_pass_can_be_repeated():
    case = block(4, (3, 7, 6, 4, 5), exact=False)
    pair = NumpyEngine(2).operation("conv_block")
    (y, *_), saved = pair.forward(*case.arguments)
    first = pair.backward(saved, case.dy)
    y[...] = 7  # the caller's own
    pair.forward(*block(5, (3, 7, 6, 4, 5), exact=False).arguments)
    for a, b in zip(first, pair.backward(saved, case.dy), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("place", ["x", "w"])
@pytest.mark.parametrize("channels", [1, 4])
def test_a_nan_reaches_the_outputs_that_rest_on_it(place, channels):
    case = block(6, (2, 6, 6, channels, 3), exact=False)
    (case.x if place == "x" else case.w)[0, 2, 0, 0] = np.nan
    (y, mean, variance), _ = NumpyEngine(2).operation("conv_block").forward(*case.arguments)
    expected = ops.conv_block(*case.arguments)
    for found, value in zip((y, mean, variance), expected, strict=True):
        np.testing.assert_array_equal(np.isnan(found), np.isnan(value))


@pytest.mark.parametrize(("shape", "constant"), [((160, 14, 14, 64, 64), 12.5), ((120, 28, 28, 1, 64), 3.5)])
def test_memory_is_linear_in_the_batch(shape, constant):
    """A step needs at most a fixed number of bytes for each float32 output of the convolution, whatever the batch.

    Inputs do not count. The outputs that are kept take 4 bytes; largest, y and g take 1 each, the four masks 1, dx 4.
    With few channels there are no outputs, no g and no dx.
    """
    tiling = Tiling(cache=100_000)  # so that buffers of the threads are nothing beside it

    def most_in_use(batch: int) -> int:
        case = block(7, (batch, *shape[1:]), exact=False)
        pair = NumpyEngine(1, blocks=tiling).operation("conv_block")
        tracemalloc.start()
        _, saved = pair.forward(*case.arguments)
        pair.backward(saved, case.dy, needs_dx=shape[3] > 3)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    most_in_use(2)  # what is made once
    growth = most_in_use(shape[0]) - most_in_use(shape[0] // 2)
    outputs = shape[0] // 2 * shape[1] * shape[2] * shape[4]
    assert growth <= constant * outputs


@pytest.mark.parametrize(("channels", "filters"), [(0, 3), (2, 0), (0, 0)])
@pytest.mark.parametrize("operation", ["conv_block", "conv_block_inference"])
def test_no_channels_or_filters_are_as_in_the_reference(channels, filters, operation):
    x, w = np.ones((2, 4, 4, channels), np.float32), np.ones((3, 3, channels, filters), np.float32)
    statistics = () if operation == "conv_block" else (np.ones(filters, np.float32),) * 2
    arguments = (x, w, *(np.ones(filters, np.float32),) * 2, *statistics)
    ours, theirs = (
        engine.operation(operation).forward(*arguments)[0] for engine in (NumpyEngine(1), ReferenceEngine())
    )
    for one, other in zip(*(r if isinstance(r, tuple) else (r,) for r in (ours, theirs)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_single_value_a_channel_is_a_user_error():
    case = block(8, (1, 1, 1, 2, 2))
    with pytest.raises(UserError, match="variance"):
        NumpyEngine(1).operation("conv_block").forward(*case.arguments)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(("dtype", "exponent"), FAR)
def test_outputs_whose_squares_leave_the_dtype(channels, dtype, exponent):
    assert_scaled(NumpyEngine().operation("conv_block"), channels, dtype, exponent)
