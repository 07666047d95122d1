"""The convolution and norm-pool kernels, run on the CPU, against the reference operations in float64."""

from __future__ import annotations

import numpy as np
import pytest

from leakysm import ops
from leakysm.backends.cupy import convolution
from leakysm.backends.cupy.blocks import block_pairs
from leakysm.backends.cupy.kernels import PRODUCTS, Tiling
from leakysm.errors import UserError
from tests.backends.cupy.block_cases import FAR, SHAPES, assert_close, assert_scaled, block, block_scales
from tests.backends.cupy.host_kernels import HostEngine, HostKernels

FLOATS = ["float32", "float64"]
BATCHES = [s for s in SHAPES if s[0] * s[1] * s[2] > 1]


def run_block(kernels, case):
    pair = HostEngine(kernels).operation("conv_block")
    outputs, saved = pair.forward(*case.arguments)
    return (*outputs, *pair.backward(saved, case.dy))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", BATCHES)
def test_block_matches_the_reference(host_kernels, shape, dtype):
    case = block(1, shape, dtype)
    computed = run_block(host_kernels, case)
    exact = case.astype("float64")
    expected = (*ops.conv_block(*exact.arguments), *ops.conv_block_vjp(*exact))
    scales = block_scales(case)
    k = 4 * np.sqrt(9 * shape[3] + shape[0] * shape[1] * shape[2])
    for result, value, scale, name in zip(computed, expected, scales, scales._fields, strict=True):
        assert result.dtype == dtype
        assert_close(result, value, scale, k, name)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [1e8 / 3, -12345.678, 1e-20])
@pytest.mark.parametrize("images", [1, 5, 23])
def test_a_constant_channel_has_no_variance(host_kernels, images, value, dtype):
    x = np.full((images, 9, 7, 2), value, dtype)
    w = np.zeros((3, 3, 2, 3), dtype)
    w[1, 1, 0] = 1
    ones = np.ones(3, dtype)
    (_, mean, variance), _ = HostEngine(host_kernels).operation("conv_block").forward(x, w, ones, ones)
    np.testing.assert_array_equal(mean, x[0, 0, 0, 0])
    np.testing.assert_array_equal(variance, 0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_convolution_matches_the_reference(host_kernels, shape, dtype):
    case = block(2, shape, dtype, exact=False)
    dy = np.random.default_rng(3).normal(size=(*shape[:3], shape[4])).astype(dtype)
    pair = HostEngine(host_kernels).operation("conv2d")
    y, saved = pair.forward(case.x, case.w)
    dx, dw = pair.backward(saved, dy)
    x, w, g = case.x.astype("float64"), case.w.astype("float64"), dy.astype("float64")
    assert_close(y, ops.conv2d(x, w), ops.conv2d(abs(x), abs(w)), 2 * np.sqrt(9 * shape[3]), "y")
    exact, scale = ops.conv2d_vjp(x, w, g), ops.conv2d_vjp(abs(x), abs(w), abs(g))
    assert_close(dx, exact[0], scale[0], 2 * np.sqrt(9 * shape[4]), "dx")
    assert_close(dw, exact[1], scale[1], 2 * np.sqrt(shape[0] * shape[1] * shape[2] + 1), "dw")


# The tiles of large batches, and many slices of the sum over pixels, at sizes that a test can afford.
LARGE = Tiling(large=0, slices=176, shortest=16)


@pytest.fixture
def large_tiles(kernel_folder):
    return HostKernels(kernel_folder, tiling=LARGE)


@pytest.mark.parametrize("shape", [(2, 9, 11, 64, 64), (1, 13, 11, 3, 64), (3, 7, 7, 4, 68), (1, 5, 5, 3, 4)])
def test_large_tiles_match_the_reference(large_tiles, shape):
    case = block(4, shape)
    computed = run_block(large_tiles, case)
    expected = (*ops.conv_block(*case.astype("float64").arguments), *ops.conv_block_vjp(*case.astype("float64")))
    scales = block_scales(case)
    assert any(name.startswith("convolve<128") for name in large_tiles.launched)
    for result, value, scale, name in zip(computed, expected, scales, scales._fields, strict=True):
        assert_close(result, value, scale, 4 * np.sqrt(9 * shape[3] + shape[0] * shape[1] * shape[2]), name)


@pytest.mark.parametrize("shape", [(2, 9, 11, 3, 64), (1, 6, 8, 1, 68), (3, 2, 2, 4, 4), (1, 1, 5, 2, 4)])
def test_a_first_layer_makes_its_gradient_on_the_way(large_tiles, shape):
    case = block(14, shape)
    pair = block_pairs(large_tiles)["conv_block"]
    _, saved = pair.forward(*case.arguments)
    dx, *computed = pair.backward(saved, case.dy, needs_dx=False)
    assert dx is None
    assert "first_weight_gradient<32, FLOAT32>" in large_tiles.launched
    expected = ops.conv_block_vjp(*case.astype("float64"))[1:]
    k = 4 * np.sqrt(9 * shape[3] + shape[0] * shape[1] * shape[2])
    for result, value, scale, name in zip(
        computed, expected, block_scales(case)[4:], ("dw", "dscale", "dshift"), strict=True
    ):
        assert_close(result, value, scale, k, name)


def test_tiles_do_not_change_the_convolution(host_kernels, large_tiles):
    """Every output is one sum in one order, whatever the tile: the same bits."""
    case = block(5, (2, 9, 11, 8, 20), exact=False)
    small, _ = convolution.convolve(host_kernels, case.x, case.w)
    large, _ = convolution.convolve(large_tiles, case.x, case.w)
    np.testing.assert_array_equal(small, large)


TF32 = 2.0**-11  # half a unit in the last of 10 bits: what rounding a factor may lose


@pytest.mark.parametrize("shape", [(2, 9, 11, 64, 64), (1, 7, 7, 4, 8), (1, 13, 11, 3, 64)])
@pytest.mark.parametrize("tiling", [Tiling(), LARGE], ids=["small", "large"])
def test_tensor_cores_round_factors_and_nothing_else(kernel_folder, shape, tiling):
    kernels = HostKernels(kernel_folder, products="TF32", tiling=tiling)
    case = block(6, shape, exact=False)
    dy = np.random.default_rng(7).normal(size=(*shape[:3], shape[4])).astype("float32")
    pair = block_pairs(kernels)["conv2d"]
    y, saved = pair.forward(case.x, case.w)
    dx, dw = pair.backward(saved, dy)
    x, w, g = case.x.astype("float64"), case.w.astype("float64"), dy.astype("float64")
    exact = ops.conv2d(x, w), *ops.conv2d_vjp(x, w, g)
    scales = ops.conv2d(abs(x), abs(w)), *ops.conv2d_vjp(abs(x), abs(w), abs(g))
    for result, value, scale, name in zip((y, dx, dw), exact, scales, ("y", "dx", "dw"), strict=True):
        error = abs(result - value) / scale
        assert error.max() <= 2.1 * TF32, name
        if name == "dx" and shape[3] % 4:
            continue  # by the reference operation
        assert error.max() > 2.0**-20, f"{name} was not rounded to TF32 at all"


@pytest.mark.parametrize("shape", [(2, 7, 7, 3, 8), (1, 9, 5, 8, 64)])
@pytest.mark.parametrize("products", PRODUCTS)
def test_the_order_of_threads_and_blocks_does_not_matter(kernel_folder, shape, products):
    """No race, no atomics: with threads and blocks in the opposite order every bit is the same."""
    case = block(8, shape, exact=False)
    results = []
    for descending in (False, True):
        pair = block_pairs(HostKernels(kernel_folder, products=products, tiling=LARGE, descending=descending))[
            "conv_block"
        ]
        outputs, saved = pair.forward(*case.arguments)
        first_layer = pair.backward(saved, case.dy, needs_dx=False)[1:]
        results.append((*outputs, *pair.backward(saved, case.dy), *first_layer))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(2, 7, 7, 3, 5), (1, 1, 5, 2, 4), (0, 7, 7, 4, 4), (1, 6, 9, 4, 64)])
def test_block_with_given_statistics(host_kernels, shape, dtype):
    case = block(9, shape, dtype)
    random = np.random.default_rng(10)
    mean, variance = random.normal(size=shape[4]).astype(dtype), random.uniform(0.5, 40, shape[4]).astype(dtype)
    pair = HostEngine(host_kernels).operation("conv_block_inference")
    y, saved = pair.forward(*case.arguments, mean, variance)
    computed = (y, *pair.backward(saved, case.dy))
    exact = [a.astype("float64") for a in (*case.arguments, mean, variance)]
    dy = case.dy.astype("float64")
    expected = (ops.conv_block_inference(*exact), *ops.conv_block_inference_vjp(*exact, dy))
    size = ops.conv2d(abs(exact[0]), abs(exact[1])).max(initial=0) + abs(mean).max() + 1  # |z - mean| adds up so much
    flat = abs(dy).sum() + 1
    scales = (3 * size, 9 * shape[4] * flat, flat * size, flat * size, flat, 3 * flat, 3 * flat * size)
    for result, value, scale, name in zip(
        computed, expected, scales, ("y", "dx", "dw", "dscale", "dshift", "dmean", "dvariance"), strict=True
    ):
        assert_close(result, value, scale, 4, name)


def test_ties_go_to_the_first_place_of_the_window(host_kernels):
    """A constant image away from the border: all four places of a window tie, and the gradient takes the first."""
    x, w = np.ones((1, 6, 6, 4), "float32"), np.ones((3, 3, 4, 4), "float32")
    scale, shift = np.array([1, -1, 0, 2], "float32"), np.full(4, 3, "float32")
    pair = HostEngine(host_kernels).operation("conv_block")
    (y, _, _), saved = pair.forward(x, w, scale, shift)
    expected = ops.conv_block_vjp(*(a.astype("float64") for a in (x, w, scale, shift, np.ones_like(y))))
    for result, value in zip(pair.backward(saved, np.ones_like(y)), expected, strict=True):
        assert_close(result, value, 1000, 8)


def test_nan_and_inf_spread_as_in_the_reference(host_kernels):
    case = block(11, (2, 6, 6, 4, 4))
    mean, variance = np.zeros(4, "float32"), np.ones(4, "float32")
    for bad in (np.nan, np.inf, -np.inf):
        x = case.x.copy()
        x[0, 2, 3, 1] = bad
        y, _ = (
            HostEngine(host_kernels).operation("conv_block_inference").forward(x, *case.arguments[1:], mean, variance)
        )
        with np.errstate(all="ignore"):
            expected = ops.conv_block_inference(x, *case.arguments[1:], mean, variance)
        np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
        np.testing.assert_array_equal(np.isinf(y), np.isinf(expected))


def test_arrays_may_be_strided_unaligned_and_read_only(host_kernels):
    case = block(12, (2, 7, 7, 4, 8))
    expected = run_block(host_kernels, case)
    odd = []
    for a in case:
        room = np.zeros(a.size + 1, a.dtype)
        room[1:] = a.ravel()
        odd.append(room[1:].reshape(a.shape))  # 4 bytes past any alignment of 16
    flipped = [np.ascontiguousarray(a[::-1])[::-1] for a in case]
    for variant in (odd, flipped):
        for a in variant:
            a.flags.writeable = False
        computed = run_block(host_kernels, type(case)(*variant))
        for result, value in zip(computed, expected, strict=True):
            assert_close(result, value.astype("float64"), abs(value).max() + 1, 64)


@pytest.mark.parametrize("name", ["conv_block", "conv2d"])
def test_wrong_shapes_are_refused(host_kernels, name):
    case = block(13, (2, 7, 7, 4, 8))
    pair = HostEngine(host_kernels).operation(name)
    arguments = case.arguments if name == "conv_block" else case.arguments[:2]
    with pytest.raises(UserError, match="w has shape"):
        pair.forward(arguments[0], arguments[1][:, :, :3], *arguments[2:])
    _, saved = pair.forward(*arguments)
    with pytest.raises(UserError, match="dy has shape"):
        pair.backward(saved, case.dy[:1])


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(("dtype", "exponent"), FAR)
def test_outputs_whose_squares_leave_the_dtype(host_kernels, channels, dtype, exponent):
    assert_scaled(HostEngine(host_kernels).operation("conv_block"), channels, dtype, exponent)
