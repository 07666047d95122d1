"""The distances' kernels where a restriction is at the edge of its range."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leakysm import ops
from leakysm.backends.cupy.distances import distance_pairs


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    return [random.normal(size=shape).astype("float32") for shape in ((5, 37), (6, 37), (5, 6))]


@pytest.mark.parametrize("per", ["pair", "coordinate"])
@pytest.mark.parametrize("restriction", [{"threshold": math.inf, "slope": 0.5}, {"threshold": 0.1, "slope": 1.0}])
def test_what_restricts_nothing_is_squared_euclidean(host_kernels, arrays, per, restriction):
    """By its very kernel, so that no compiler can make other bits of it."""
    x, c, dy = arrays
    pairs = distance_pairs(host_kernels)
    y, saved = pairs["leaky_squared_euclidean"].forward(x, c, per=per, **restriction)
    gradients = pairs["leaky_squared_euclidean"].backward(saved, dy)
    assert set(host_kernels.launched) == {"distances<SQUARED>", "distances_gradient<SQUARED>"}
    expected, saved = pairs["squared_euclidean"].forward(x, c)
    for a, b in zip((y, *gradients), (expected, *pairs["squared_euclidean"].backward(saved, dy)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("per", ["pair", "coordinate"])
@pytest.mark.parametrize("slope", [1e-38, 3e-41])
def test_a_slope_below_the_smallest_normal_number_keeps_its_digits(host_kernels, arrays, per, slope):
    """On distances so large that the product with the slope is a normal number."""
    x, c, dy = (a * np.float32(2.0**60) for a in arrays)
    settings = {"threshold": 0.0, "slope": slope, "per": per}
    pair = distance_pairs(host_kernels)["leaky_squared_euclidean"]
    y, saved = pair.forward(x, c, **settings)
    expected = ops.leaky_squared_euclidean(x, c, **settings)
    np.testing.assert_allclose(y, expected, rtol=8 * 2.0**-23)
    assert np.all(y > 0)
    dx, dc = pair.backward(saved, dy)
    exact = ops.leaky_squared_euclidean_vjp(x, c, dy, **settings)
    for a, b in zip((dx, dc), exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=64 * 2.0**-23 * abs(b).max())
