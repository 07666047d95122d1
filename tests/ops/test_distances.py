"""Laws of the distances."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import leakysm as lk
from leakysm.verify.strategies import DTYPES, arrays, cotangents, pairs, slopes, thresholds

DISTANCES = [
    lk.SquaredEuclidean(),
    lk.LeakySquaredEuclidean(),
    lk.LeakySquaredEuclidean(per="coordinate"),
    lk.Euclidean(),
]
ALL = [*DISTANCES, lk.Cosine()]
PER = st.sampled_from(["pair", "coordinate"])


@st.composite
def calls(draw):
    dtype = draw(DTYPES)
    x, c = draw(pairs(dtype))
    return x.astype(dtype), c.astype(dtype), draw(cotangents((len(x), len(c)))).astype(dtype)


@given(calls(), PER, st.sampled_from([(math.inf, 0.3), (1.0, 1.0), (0.0, 1.0), (math.inf, 1.0)]))
def test_no_threshold_or_slope_one_is_squared_euclidean_bit_for_bit(call, per, setting):
    x, c, dy = call
    threshold, slope = setting
    leaky = lk.LeakySquaredEuclidean(threshold, slope, per)
    np.testing.assert_array_equal(leaky(x, c), lk.squared_euclidean(x, c))
    for ours, plain in zip(leaky.vjp(x, c, dy), lk.squared_euclidean_vjp(x, c, dy), strict=True):
        np.testing.assert_array_equal(ours, plain)


@given(calls(), slopes())
def test_threshold_zero_is_pure_scaling(call, slope):
    x, c, _ = call
    if x.dtype == np.float16:
        x, c = x.astype(np.float32), c.astype(np.float32)
    with np.errstate(all="ignore"):
        scaled = slope * lk.squared_euclidean(x, c)
    np.testing.assert_array_equal(lk.leaky_squared_euclidean(x, c, threshold=0, slope=slope), scaled)


@given(calls(), slopes(), st.data())
def test_leaky_never_exceeds_squared_euclidean_and_keeps_the_order(call, slope, data):
    x, c, _ = call
    d = lk.squared_euclidean(x, c)
    leaky = lk.leaky_squared_euclidean(x, c, threshold=data.draw(thresholds(d.astype(np.float64))), slope=slope)
    slack = 4 * np.finfo(x.dtype).eps
    assert np.all(leaky <= np.nextafter(d * x.dtype.type(1) + d * slack, np.inf))
    in_order = np.argsort(lk.squared_euclidean(x.astype(np.float64), c.astype(np.float64)), axis=None)
    lower, higher = (leaky.ravel()[in_order[part]].astype(np.float64) for part in (slice(-1), slice(1, None)))
    assert np.all(lower <= higher * (1 + slack))  # infinite ones too


@pytest.mark.parametrize("metric", DISTANCES, ids=str)
@given(call=calls())
def test_coincident_points_have_distance_zero_and_gradient_zero(metric, call):
    x, _, _ = call
    np.testing.assert_array_equal(np.diag(metric(x, x)), 0)
    dx, dc = metric.vjp(x, x, np.eye(len(x), dtype=x.dtype))
    np.testing.assert_array_equal(dx, 0)
    np.testing.assert_array_equal(dc, 0)


@pytest.mark.parametrize("metric", ALL, ids=str)
@given(call=calls())
def test_symmetry(metric, call):
    x, c, dy = call
    np.testing.assert_array_equal(metric(x, c), metric(c, x).T)
    dx, dc = metric.vjp(x, c, dy)
    dc_too, dx_too = metric.vjp(c, x, np.ascontiguousarray(dy.T))
    np.testing.assert_array_equal(dx, dx_too)
    np.testing.assert_array_equal(dc, dc_too)


@pytest.mark.parametrize("metric", DISTANCES, ids=str)
@given(x=arrays((3, 4), "float16"), c=arrays((2, 4), "float16"), shift=st.integers(-64, 64))
def test_exact_translations_change_nothing(metric, x, c, shift):
    """The numbers are multiples of 2^-22 below 2^3: moved by whole numbers in float64 their differences stay exact."""
    np.testing.assert_array_equal(metric(x, c), metric(x + shift, c + shift))


@pytest.mark.parametrize("metric", DISTANCES, ids=str)
@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (2, 3, 0), (0, 0, 0)])
def test_empty_inputs(metric, shape):
    N, M, D = shape
    x, c = np.ones((N, D), np.float32), np.zeros((M, D), np.float32)
    np.testing.assert_array_equal(metric(x, c), np.zeros((N, M)))
    dx, dc = metric.vjp(x, c, np.ones((N, M), np.float32))
    np.testing.assert_array_equal(dx, np.zeros((N, D)))
    np.testing.assert_array_equal(dc, np.zeros((M, D)))


def test_cosine_of_zero_vectors_and_of_no_coordinates():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_array_equal(lk.cosine_distance(x, x)[0], [1, 1])
    dx, dc = lk.cosine_distance_vjp(x, x, np.ones((2, 2)))
    np.testing.assert_array_equal(dx[0], 0)
    np.testing.assert_array_equal(dc[0], 0)
    np.testing.assert_array_equal(lk.cosine_distance(np.ones((2, 0)), np.ones((3, 0))), np.ones((2, 3)))


@pytest.mark.parametrize(("dtype", "low", "high"), [(np.float32, -140, 126), (np.float64, -1060, 1022)])
@given(st.data())
def test_euclidean_and_cosine_neither_overflow_nor_underflow(dtype, low, high, data):
    """3-4-5 triangles at every scale are exact."""
    scale = dtype(2.0) ** dtype(data.draw(st.integers(low, high - 3)))
    x, c = np.array([[3, 4]], dtype) * scale, np.zeros((1, 2), dtype)
    np.testing.assert_array_equal(lk.euclidean(x, c), [[5 * scale]])
    assert abs(float(lk.cosine_distance(x, x)[0, 0])) <= 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("per", ["pair", "coordinate"])
@pytest.mark.parametrize(("beyond", "factor"), [(False, 1.0), (True, 0.25)])
def test_at_the_kink_the_left_derivative(per, beyond, factor):
    x, c = np.array([[2.0]]), np.array([[0.0]])
    threshold = np.nextafter(4.0, 0) if beyond else 4.0
    dx, dc = lk.leaky_squared_euclidean_vjp(x, c, np.ones((1, 1)), threshold=threshold, slope=0.25, per=per)
    assert (float(dx[0, 0]), float(dc[0, 0])) == (4 * factor, -4 * factor)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_distance_beyond_the_dtype_is_inf(dtype):
    big = np.full((1, 1), np.finfo(dtype).max, dtype)
    for metric in DISTANCES[:3]:
        assert metric(big, -big)[0, 0] == np.inf


@example(300.0, 0.1)
@given(st.floats(300, 3000, width=16), st.sampled_from([0.001, 0.01]))
def test_float16_is_rounded_once_after_the_restriction(side, slope):
    """300^2 is beyond float16, the restricted distance is not."""
    x, c = np.array([[side]], np.float16), np.zeros((1, 1), np.float16)
    expected = np.float64(1) + slope * (np.float64(x[0, 0]) ** 2 - 1)
    assume(expected < 65000)
    y = lk.leaky_squared_euclidean(x, c, threshold=1.0, slope=slope)
    assert y.dtype == np.float16
    assert abs(float(y[0, 0]) - expected) <= 0.51 * np.finfo(np.float16).eps * expected


@pytest.mark.parametrize("threshold", [-1.0, -1e-300, math.nan, -math.inf, "one", None, -(10**400)])
def test_threshold_out_of_range(threshold):
    for call in (
        lambda: lk.LeakySquaredEuclidean(threshold=threshold),
        lambda: lk.leaky_squared_euclidean(np.ones((1, 1)), np.ones((1, 1)), threshold=threshold, slope=0.1),
    ):
        with pytest.raises(ValueError, match=r"threshold is [\s\S]*0 <= threshold <= inf"):
            call()


@pytest.mark.parametrize("slope", [0, -0.1, 1.0000001, math.nan, math.inf])
def test_slope_out_of_range(slope):
    with pytest.raises(ValueError, match=r"slope is .*0 < slope <= 1"):
        lk.LeakySquaredEuclidean(slope=slope)


def test_other_bad_calls_are_one_line_errors():
    import array_api_strict

    x = np.ones((2, 3))
    bad = [
        (lambda: lk.LeakySquaredEuclidean(per="row"), "per is 'row'"),
        (lambda: lk.squared_euclidean(x, array_api_strict.asarray(x)), "different libraries"),
        (lambda: lk.squared_euclidean(x, x.astype(np.float32)), "mixed dtypes"),
        (lambda: lk.squared_euclidean(x.astype(int), x.astype(int)), "dtype int64"),
        (lambda: lk.squared_euclidean(x + 1j, x + 1j), "dtype complex128"),
        (lambda: lk.squared_euclidean([[1.0]], x), "list"),
        (lambda: lk.squared_euclidean(x, np.ones((2, 4))), r"c has shape \(2, 4\)"),
        (lambda: lk.squared_euclidean(x[0], x), r"x has shape \(3,\)"),
        (lambda: lk.squared_euclidean_vjp(x, x, np.ones((2, 3))), r"dy has shape"),
        (lambda: lk.metric_named("leeky"), "did you mean 'leaky'"),
        (lambda: lk.metric_named("cosine", slope=0.1), "no slope"),
        (lambda: lk.metric_named("log", scale=10**400), "scale of distance log is too large"),
    ]
    for call, message in bad:
        with pytest.raises(ValueError, match=message) as raised:
            call()
        assert "\n" not in str(raised.value)


def test_no_array_of_all_differences_is_made():
    """(300, 200, 300) differences would take 144 MB."""
    rng = np.random.Generator(np.random.Philox(1))
    x, c = rng.random((300, 300)), rng.random((200, 300))
    for metric in ALL:
        tracemalloc.start()
        metric.vjp(x, c, metric(x, c))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 60e6, metric


@pytest.mark.parametrize("per", ["pair", "coordinate"])
@pytest.mark.parametrize(
    ("difference", "dy", "slope", "gradient"),
    [
        (1e-30, 2e38, 1.0, 4e8),  # 2 dy alone would overflow
        (1e15, 1e-30, 1e-12, 2e-27),  # dy slope alone would be subnormal
        (1e18, 1.0, 1e-42, 2e-24),  # a slope below float32's normal numbers
        (1e18, 1.0, 1e-50, 2e-32),
    ],
)
def test_gradients_are_multiplied_in_an_order_that_keeps_them(per, difference, dy, slope, gradient):
    x, c = np.array([[difference]], np.float32), np.zeros((1, 1), np.float32)
    metric = lk.LeakySquaredEuclidean(0, slope, per)
    dx, dc = metric.vjp(x, c, np.array([[dy]], np.float32))
    eps = np.finfo(np.float32).eps
    assert abs(float(dx[0, 0]) - gradient) <= 4 * eps * gradient
    assert dc == -dx
    expected = slope * float(x[0, 0]) ** 2
    assert abs(float(metric(x, c)[0, 0]) - expected) <= 4 * eps * expected + np.finfo(np.float32).smallest_normal
