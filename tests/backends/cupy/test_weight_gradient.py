"""The sum over pixels of a weight gradient stays within the bound for any data, at any number of pixels.

Constant images are the hardest: all roundings go one way. Their exact sums are known.
"""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from leakysm.backends.cupy import kernels as constants
from leakysm.backends.cupy.blocks import Saved, first_weight_gradient
from leakysm.backends.cupy.convolution import LONGEST, Slices, add_groups, weight_gradient
from leakysm.backends.cupy.kernels import CHAIN, GROUP, Tiling, ceil_div
from leakysm.verify.bounds import Severity, tree_depth
from leakysm.verify.table import BOUNDS
from tests.backends.cupy.host_kernels import HostKernels

WORST = Severity("ours", usual=False)
FEW_SLICES = Tiling(slices=8, first_slices=8)  # a small image's sums are then as long as a large one's
VALUES = [(1 / 3, 0.7), (0.1, 0.1), (0.9, 1 / 3)]


def gradient(kernels: HostKernels, shape: tuple[int, ...], x: float, dy: float) -> np.ndarray:
    """dw (3, 3, C, F) of a constant image and a constant cotangent."""
    N, H, W, C, F = shape
    dw = np.empty((3, 3, C, F), "float32")
    weight_gradient(kernels, np.full(shape[:4], x, "float32"), np.full((N, H, W, F), dy, "float32"), dw)
    return dw


def first_gradient(kernels: HostKernels, shape: tuple[int, ...], x: float, dy: float) -> np.ndarray:
    """`gradient` by the kernel of a first layer, which makes dz itself: here from its mean alone, so that it is dy."""
    N, H, W, C, F = shape
    zeros, ones = np.zeros(F, "float32"), np.ones(F, "float32")
    pooled = np.zeros((N, H // 2, W // 2, F), "float32")
    z = np.zeros((N, H, W, F), "float32")
    w = np.zeros((3, 3, C, F), "float32")
    saved = Saved(np.full(shape[:4], x, "float32"), w, (zeros, ones, ones, zeros), z, pooled, pooled.astype("uint8"))
    dshift = np.full(F, -np.float32(dy) * np.float32(N * H * W), "float32")
    first_weight_gradient(kernels, saved, pooled, w, zeros, dshift)
    return w


def largest_error(dw: np.ndarray, shape: tuple[int, ...], x: float, dy: float) -> float:
    """In units of the bound for any data."""
    N, H, W, C, F = shape
    k = BOUNDS["conv2d"]["dw"].factor({"N": N, "H": H, "W": W, "C": C, "F": F}, WORST)
    product = Fraction(float(np.float32(x))) * Fraction(float(np.float32(dy)))
    errors = []
    for i in range(3):
        for j in range(3):
            exact = product * N * (H - abs(i - 1)) * (W - abs(j - 1))
            errors += [abs(Fraction(float(value)) / exact - 1) for value in np.unique(dw[i, j])]
    return float(max(errors)) / (k * 2.0**-23)


@pytest.mark.parametrize(("x", "dy"), VALUES)
@pytest.mark.parametrize(
    ("compute", "shape", "products"),
    [
        (gradient, (1, 100, 103, 4, 4), "FLOAT32"),
        (gradient, (1, 100, 103, 1, 4), "FLOAT32"),
        (first_gradient, (1, 100, 103, 1, 4), "FLOAT32"),
        (gradient, (1, 41, 43, 4, 4), "SPLIT"),
    ],
)
@pytest.mark.parametrize("tiling", [Tiling(), FEW_SLICES], ids=["many slices", "few"])
def test_constant_images(kernel_folder, compute, shape, products, x, dy, tiling):
    kernels = HostKernels(kernel_folder, products=products, tiling=tiling)
    assert largest_error(compute(kernels, shape, x, dy), shape, x, dy) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 336, 336, 4, 4), (1, 1024, 1024, 1, 4)])
@pytest.mark.parametrize("compute", [gradient, first_gradient])
def test_large_constant_images(host_kernels, compute, shape):
    assert largest_error(compute(host_kernels, shape, *VALUES[0]), shape, *VALUES[0]) <= 1


def test_one_long_sum_would_break_the_bound(tmp_path, monkeypatch):
    monkeypatch.setitem(constants.CONSTANTS, "CHAIN", LONGEST)
    kernels, shape = HostKernels(tmp_path, tiling=FEW_SLICES), (1, 200, 200, 1, 4)
    assert largest_error(gradient(kernels, shape, *VALUES[0]), shape, *VALUES[0]) > 1


@pytest.mark.parametrize("wanted", [1, 8, 110, 528])
@pytest.mark.parametrize("pixels", [1, 127, 128, 129, 256, 257, 1000, 45_057, 10**6, 10**8, 2**31 - 1])
def test_no_number_of_pixels_is_too_large_for_the_bound(host_kernels, pixels, wanted):
    """The depth of all sums together: a chain, the sum of a slice's chains, the sums of slices."""
    x = np.lib.stride_tricks.as_strided(np.zeros(1, "float32"), (1, 1, pixels, 1), (0, 0, 0, 0))
    host_kernels.xp = SimpleNamespace(empty=lambda shape, dtype: shape)
    _, length, number = Slices.of(host_kernels, x, 64, wanted)
    assert number * length >= pixels > (number - 1) * length
    longest = min(length, pixels)
    depth = min(longest, CHAIN) + ceil_div(longest, CHAIN) - 1
    while number > 1:  # eights by halves, one after another in a thread, its eight shares by halves
        together = min(number, GROUP)
        depth += tree_depth(min(together, 8)) + ceil_div(together, 64) - 1 + tree_depth(min(ceil_div(together, 8), 8))
        number = ceil_div(number, GROUP)
    assert depth <= WORST.blocks(pixels)


@pytest.mark.parametrize("number", [0, 1, 7, 8, 9, 64, 65, 200, GROUP, GROUP + 1, 2 * GROUP + 3])
def test_slices_are_added_up(host_kernels, number):
    """Whole numbers, so that every order gives the same sum."""
    partial = np.random.default_rng(number).integers(-9, 10, (number, 9, 20)).astype("float32")
    dw = np.empty((3, 3, 1, 20), "float32")
    Slices(partial, 0, number).add_up(host_kernels, dw)
    np.testing.assert_array_equal(dw.reshape(9, 20), partial.sum(axis=0))


def test_groups_of_slices_are_added_apart(host_kernels):
    partial = np.ones((GROUP + 2, 4), "float32")
    total = np.empty((2, 4), "float32")
    add_groups(host_kernels, partial, total, 4, GROUP + 2)
    np.testing.assert_array_equal(total, [[GROUP] * 4, [2] * 4])
