"""Products of split factors on the tensor cores: float32's accuracy, and the ordinary result where splitting has none.

The stand-in for the tensor cores truncates all that they are known to truncate.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakysm import ops
from leakysm.backends.cupy import convolution
from leakysm.backends.cupy.blocks import block_pairs
from leakysm.backends.cupy.kernels import Tiling
from leakysm.optim import SGD
from leakysm.verify.adapters.engine import EngineImplementation
from leakysm.verify.bounds import Severity
from leakysm.verify.conformance import Settings, conform
from leakysm.verify.registry import ENTRIES
from tests.backends.cupy.block_cases import assert_close, block, block_scales
from tests.backends.cupy.host_kernels import HostEngine, HostKernels
from tests.training.test_device_step import run, step_with

CONVOLVE = {"large": "convolve<128, 4, SPLIT>", "small": "convolve<32, 4, SPLIT>"}
WEIGHT_GRADIENT = "weight_gradient<96, 96, 4, SPLIT>"


@pytest.fixture(scope="module", params=[pytest.param("large", marks=pytest.mark.slow), "small"])
def tiles(request):
    """The tiles of large and of small batches."""
    return request.param


@pytest.fixture(scope="module")
def kernels(kernel_folder, tiles):
    """With these tiles, and many slices of the sum over pixels."""
    tiling = Tiling(large={"large": 0, "small": 1 << 30}[tiles], slices=176, shortest=16)
    return HostKernels(kernel_folder, products="SPLIT", tiling=tiling)


def convolve(kernels, x, w, dy):
    """y, dx, dw."""
    pair = block_pairs(kernels)["conv2d"]
    y, saved = pair.forward(x, w)
    return y, *pair.backward(saved, dy)


def run_hard_products(pair, shape, numbers, to_device=lambda array: array):
    """(name, computed, exact, scale, k) of y, dx and dw."""
    N, H, W, C, F = shape
    random = np.random.default_rng(0)
    given = [numbers(random, s) for s in ((N, H, W, C), (3, 3, C, F), (N, H, W, F))]
    x, w, dy = map(to_device, given)
    y, saved = pair.forward(x, w)
    computed = y, *pair.backward(saved, dy)
    double = [a.astype("float64") for a in given]
    exact = ops.conv2d(*double[:2]), *ops.conv2d_vjp(*double)
    size = [abs(a) for a in double]
    scales = ops.conv2d(*size[:2]), *ops.conv2d_vjp(*size)
    names = ("y", "dx", "dw")
    sizes = {"N": N, "H": H, "W": W, "C": C, "F": F}
    factors = [ENTRIES["conv2d"].bounds[name].factor(sizes, Severity("any", usual=False)) for name in names]
    return zip(names, computed, exact, scales, factors, strict=True)


def hardest(random, shape):
    """Numbers whose first part is as far from them as can be, and whose second part loses its last bit."""
    low = random.choice([-1, 1], shape) * (2.0**-11 - 2.0**-23)
    return (random.choice([-1, 1], shape) * (1 + random.integers(0, 2, shape) * 2.0**-10 + low)).astype("float32")


def normal(random, shape):
    return random.normal(size=shape).astype("float32")


def positive(random, shape):
    return abs(normal(random, shape))


def constant(random, shape):
    """A blank patch: all roundings point the same way."""
    return np.full(shape, random.choice([1 / 3, 0.1, 0.7]), "float32")


def bright(random, shape):
    """Ones among numbers of about their last bit."""
    return np.where(random.random(shape) < 0.02, 1, 2.0**-23 * (1 - 2.0**-10)).astype("float32")


def mixed(random, shape):
    """Sixteen orders of magnitude side by side."""
    return (random.normal(size=shape) * 10.0 ** random.integers(-8, 8, shape)).astype("float32")


NUMBERS = [normal, positive, hardest, constant, bright, mixed]


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("shape", [(2, 9, 11, 64, 64), (1, 13, 11, 4, 64), (1, 4, 5, 64, 4), (3, 8, 7, 12, 68)])
def test_products_are_within_the_bounds_of_float32(kernels, tiles, shape, numbers):
    kernels.launched.clear()
    for name, result, value, scale, k in run_hard_products(block_pairs(kernels)["conv2d"], shape, numbers):
        assert_close(result, value, scale, k, name)
    assert {CONVOLVE[tiles], WEIGHT_GRADIENT} <= set(kernels.launched)


@given(st.integers(0, 2**32 - 1), st.integers(-80, 100), st.integers(-80, 100))
@settings(max_examples=25)
def test_the_size_of_the_numbers_does_not_matter(kernels, seed, power_x, power_w):
    """A power of two before or after: the same bits, while nothing overflows or is too small to be split."""
    random = np.random.default_rng(seed)
    x, w = normal(random, (1, 3, 6, 4)), normal(random, (3, 3, 4, 8))
    power_w = max(min(power_w, 110 - power_x), -80 - power_x, -80)
    y, _ = convolution.convolve(kernels, x, w)
    moved, _ = convolution.convolve(kernels, np.ldexp(x, power_x), np.ldexp(w, power_w))
    np.testing.assert_array_equal(moved, np.ldexp(y, power_x + power_w))


@pytest.mark.parametrize("power", [-104, -112, -120, -126])
@pytest.mark.parametrize("factor", ["x", "w", "dy"])
def test_numbers_too_small_to_be_split_lose_nothing(kernels, factor, power):
    """The last bits of a part may be subnormal, and a large factor would make much of them."""

    def numbers(random, shape):
        return next(scaled)(random, shape)

    def tiny(random, shape):
        return np.ldexp(random.uniform(1, 2, shape) * random.choice([-1, 1], shape), power).astype("float32")

    def large(random, shape):
        return np.ldexp(random.uniform(1, 2, shape) * random.choice([-1, 1], shape), 60).astype("float32")

    scaled = iter([tiny if name == factor else large for name in ("x", "w", "dy")])
    results = run_hard_products(block_pairs(kernels)["conv2d"], (1, 9, 9, 12, 16), numbers)
    for name, result, value, scale, k in results:
        finite = scale < np.finfo("float32").max  # two large factors overflow
        assert_close(result[finite], value[finite], scale[finite], k, name)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, np.finfo("float32").max, -np.finfo("float32").max])
@pytest.mark.parametrize("factor", ["x", "w", "dy"])
def test_where_splitting_says_nothing_the_result_is_the_ordinary_one(kernel_folder, kernels, factor, bad):
    """The largest number rounds to infinity in TF32: its products are finite all the same."""
    random = np.random.default_rng(1)
    given = {
        "x": normal(random, (1, 9, 9, 4)),
        "w": normal(random, (3, 3, 4, 8)) / 8,
        "dy": normal(random, (1, 9, 9, 8)),
    }
    given[factor] = given[factor].copy()
    given[factor].flat[7] = bad
    results = [convolve(each, *given.values()) for each in (kernels, HostKernels(kernel_folder))]
    for a, b in zip(*results, strict=True):
        touched = ~np.isfinite(b) | (abs(b) > 1e30)
        np.testing.assert_array_equal(a[touched], b[touched])
        assert_close(a[~touched], b[~touched].astype("float64"), 1 + abs(b[~touched]).max(initial=0), 64)


def test_a_sum_of_few_terms_is_not_split(kernels):
    """One pixel: the bound of dw, 3 eps, has no room for four roundings."""
    kernels.launched.clear()
    random = np.random.default_rng(2)
    x, dy = hardest(random, (1, 1, 1, 32)), hardest(random, (1, 1, 1, 64))
    *_, dw = convolve(kernels, x, hardest(random, (3, 3, 32, 64)), dy)
    assert WEIGHT_GRADIENT not in kernels.launched
    np.testing.assert_array_equal(dw[1, 1], x.reshape(32, 1) * dy.reshape(1, 64))


@pytest.mark.parametrize("operation", ["conv2d", "conv_block", "conv_block_inference"])
def test_conformance(kernels, tiles, operation):
    kernels.launched.clear()
    report = conform(
        EngineImplementation(HostEngine(kernels)),
        operations=[operation],
        settings=Settings(dtypes=("float32",), strict=True, examples=2, most_numbers=1_000),
    )
    assert [row.status for row in report.rows] == ["passed"], [row.problem for row in report.rows]
    assert {CONVOLVE[tiles], WEIGHT_GRADIENT} <= set(kernels.launched)


@pytest.mark.parametrize("shape", [(2, 9, 11, 64, 64), (3, 7, 7, 4, 68)])
def test_blocks_match_the_reference(kernels, shape):
    case = block(4, shape)
    pair = block_pairs(kernels)["conv_block"]
    outputs, saved = pair.forward(*case.arguments)
    computed = (*outputs, *pair.backward(saved, case.dy))
    exact = case.astype("float64")
    expected = (*ops.conv_block(*exact.arguments), *ops.conv_block_vjp(*exact))
    scales = block_scales(case)
    for result, value, scale, name in zip(computed, expected, scales, scales._fields, strict=True):
        assert_close(result, value, scale, 4 * np.sqrt(9 * shape[3] + shape[0] * shape[1] * shape[2]), name)


def test_a_step_is_the_ordinary_one_but_for_roundings(kernel_folder, kernels, tiles):
    """By SGD: Adam would blow up a gradient that is 0 but for rounding."""
    results = [run(*step_with(each, optimizer=SGD(0.01))) for each in (kernels, HostKernels(kernel_folder))]
    assert {CONVOLVE[tiles], WEIGHT_GRADIENT} <= set(kernels.launched)
    for a, b in zip(*results, strict=True):
        assert_close(a, b.astype("float64"), 1 + abs(b).max(), 2.0**12)
