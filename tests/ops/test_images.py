"""Laws of convolution, batch norm, ReLU and max pool."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import leakysm as lk
from leakysm.verify.case import Case
from leakysm.verify.strategies import arrays, cotangents, images
from tests.within_bounds import assert_within_bounds

EPS = np.finfo(np.float64).eps


def direct_convolution(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The formula, read out loud."""
    N, H, W, _ = x.shape
    y = np.zeros((N, H, W, w.shape[3]))
    for n, h, v, i, j in np.ndindex(N, H, W, 3, 3):
        if 0 <= h + i - 1 < H and 0 <= v + j - 1 < W:
            y[n, h, v] += x[n, h + i - 1, v + j - 1] @ w[i, j]
    return y


@given(images("float32"), st.data())
def test_convolution_is_the_formula(x, data):
    w = data.draw(arrays((3, 3, x.shape[3], 2), "float32"))
    bound = 8 * np.sqrt(9 * x.shape[3]) * EPS * direct_convolution(abs(x), abs(w))
    assert np.all(np.abs(lk.conv2d(x, w) - direct_convolution(x, w)) <= bound)


@given(images("float32"), st.data())
def test_convolution_and_its_vjp_are_adjoint(x, data):
    w = data.draw(arrays((3, 3, x.shape[3], 2), "float32"))
    dy = data.draw(cotangents((*x.shape[:3], 2)))
    dx, dw = lk.conv2d_vjp(x, w, dy)
    value, scale = np.sum(lk.conv2d(x, w) * dy), np.sum(lk.conv2d(abs(x), abs(w)) * abs(dy))
    assert abs(value - np.sum(dx * x)) <= 64 * EPS * scale
    assert abs(value - np.sum(dw * w)) <= 64 * EPS * scale


@pytest.mark.parametrize("rest", [0.7, 2.0**-23 * (1 - 2.0**-10)])
def test_a_weight_gradient_does_not_drift_over_the_images(rest):
    """47,040 equal products, or ones among numbers of about their last bit: one long sum errs by 594 and 177 eps."""
    x, dy = np.full((60, 28, 28, 1), rest, "float32"), np.full((60, 28, 28, 4), rest, "float32")
    if rest < 0.1:
        x[:, ::7, ::7] = 1
    w = np.zeros((3, 3, 1, 4), "float32")
    _, dw = lk.conv2d_vjp(x, w, dy)
    _, exact = lk.conv2d_vjp(*(a.astype("float64") for a in (x, w, dy)))
    assert np.all(abs(dw - exact) <= (28 + 6 + 2) * np.finfo("float32").eps * exact)  # sqrt(H W) + log2(N) + 2


@given(images("float32", least=2), st.data())
def test_batch_norm_normalises_and_its_gradient_obeys_the_two_laws(x, data):
    C = x.shape[3]
    scale, shift = data.draw(arrays((C,), "float32")), data.draw(arrays((C,), "float32"))
    eps = 1e-5
    _, mean, variance = lk.batch_norm(x, scale, shift, eps=eps)
    rows = x.reshape(-1, C)
    n = len(rows)
    condition = 1 + np.abs(rows).max() / np.sqrt(variance + eps)
    assert np.all(np.abs(mean - rows.mean(0)) <= 16 * EPS * np.abs(rows).max())
    assert np.all(np.abs(variance - rows.var(0)) <= 64 * EPS * condition * np.abs(rows).max() ** 2)
    dy = data.draw(cotangents(x.shape))
    dx, dscale, dshift = (g.reshape(-1, C) for g in lk.batch_norm_vjp(x, scale, shift, dy, eps=eps))
    sigma = np.sqrt(variance + eps)
    normalised = (rows - mean) / sigma
    terms = np.abs(scale / sigma) * (np.abs(dy).reshape(-1, C).sum(0) + np.abs(dscale[0]) + np.abs(dshift[0])) + 1e-300
    slack = 64 * n * EPS * terms * condition**3
    assert np.all(np.abs(dx.sum(0)) <= slack)
    law = scale / sigma * dscale[0] * eps / (variance + eps)
    assert np.all(np.abs((dx * normalised).sum(0) - law) <= slack)


def test_batch_norm_of_a_single_value_a_channel():
    with pytest.raises(ValueError, match=r"1 value\(s\) a channel"):
        lk.batch_norm(np.ones((1, 1, 1, 3)), np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="eps is -1"):
        lk.batch_norm(np.ones((2, 3)), np.ones(3), np.ones(3), eps=-1)
    with pytest.raises(ValueError, match="eps is 'x'"):
        lk.batch_norm(np.ones((2, 3)), np.ones(3), np.ones(3), eps="x")


@given(images("float32", least=2), st.data())
def test_inference_with_the_batchs_own_statistics_is_training(x, data):
    scale, shift = (data.draw(arrays((x.shape[3],), "float32")) for _ in range(2))
    y, mean, variance = lk.batch_norm(x, scale, shift)
    case = Case("batch_norm", "own statistics", (x, scale, shift), np.zeros_like(y), {}, ("random",))
    again = lk.batch_norm_inference(x, scale, shift, mean, variance)
    assert_within_bounds(case, "value", "float64", [again, mean, variance])


@given(images("float32"))
def test_relu(x):
    np.testing.assert_array_equal(lk.relu(x), np.maximum(x, 0))
    np.testing.assert_array_equal(lk.relu_vjp(x, np.ones_like(x)), x > 0)
    assert np.isnan(lk.relu(np.array([np.nan]))[0])


@given(images("float32"), st.data())
def test_max_pool_takes_the_maximum_and_sends_each_gradient_to_the_first_one(x, data):
    N, H, W, C = x.shape
    dy = data.draw(cotangents((N, H // 2, W // 2, C)))
    y, dx = lk.max_pool2d(x), lk.max_pool2d_vjp(x, dy)
    expected = np.zeros_like(x)
    for n, h, w, c in np.ndindex(*y.shape):
        window = x[n, 2 * h : 2 * h + 2, 2 * w : 2 * w + 2, c]
        assert y[n, h, w, c] == window.max()
        i, j = divmod(int(np.argmax(window)), 2)
        expected[n, 2 * h + i, 2 * w + j, c] = dy[n, h, w, c]
    np.testing.assert_array_equal(dx, expected)


def test_max_pool_keeps_nan():
    for k in range(4):
        x = np.arange(4.0).reshape(1, 2, 2, 1)
        x.flat[k] = np.nan
        assert np.isnan(lk.max_pool2d(x).item())
        assert lk.max_pool2d_vjp(x, np.ones((1, 1, 1, 1))).flat[k] == 1


@given(images("float32", least=2, most=4), st.data())
def test_the_block_is_its_four_operations(x, data):
    assume(x.size > x.shape[3])
    w = data.draw(arrays((3, 3, x.shape[3], 2), "float32"))
    scale, shift = (data.draw(arrays((2,), "float32")) for _ in range(2))
    y, mean, variance = lk.conv_block(x, w, scale, shift)
    normalised, *statistics = lk.batch_norm(lk.conv2d(x, w), scale, shift)
    np.testing.assert_array_equal(y, lk.max_pool2d(lk.relu(normalised)))
    np.testing.assert_array_equal((mean, variance), statistics)
    dy = data.draw(cotangents(y.shape))
    assert lk.conv_block_vjp(x, w, scale, shift, dy, needs_dx=False)[0] is None


def test_gradients_of_batch_norm_are_multiplied_in_an_order_that_keeps_them():
    x, one = np.array([[1e-30], [3e-30]], np.float32), np.ones(1, np.float32)
    variance = np.array([1e-38], np.float32) / 8
    gradient = lk.batch_norm_inference_vjp(x, one, one, 0 * one, variance, np.ones((2, 1), np.float32), eps=0.0)[4]
    exact = -float(x.astype(np.float64).sum()) / 2 / float(variance[0]) ** 1.5
    assert abs(float(gradient[0]) - exact) <= 64 * np.finfo(np.float32).eps * abs(exact)
    x = np.array([[1e-10], [-1e-10]], np.float32)
    dx = lk.batch_norm_vjp(x, 1e35 * one, one, np.array([[1e-35], [0]], np.float32), eps=1e-20)[0]
    assert np.all(np.isfinite(dx))


@pytest.mark.parametrize(("value", "n"), [(12345678.0, 3), (123456784.0, 100), (4.07e9, 100)])
def test_a_constant_channel_far_from_0_has_no_variance(value: float, n: int) -> None:
    """The mean's own rounding, squared, must not come back as a variance."""
    x = np.full((n, 1), value, np.float32)
    y, mean, variance = lk.batch_norm(x, np.ones(1, np.float32), np.zeros(1, np.float32))
    assert mean[0] == x[0, 0]
    assert variance[0] == 0
    assert not y.any()


@pytest.mark.parametrize("eps", [np.float64(1e-5), np.float32(1e-5), 1])
def test_eps_of_any_type_leaves_the_dtype_alone(eps: float) -> None:
    x, one = np.arange(6, dtype=np.float32).reshape(3, 2), np.ones(2, np.float32)
    assert {a.dtype.name for a in lk.batch_norm(x, one, one, eps=eps)} == {"float32"}
    assert {a.dtype.name for a in lk.batch_norm_vjp(x, one, one, x, eps=eps)} == {"float32"}
    assert lk.batch_norm_inference(x, one, one, one, one, eps=eps).dtype == np.float32


@pytest.mark.parametrize(
    ("dtype", "magnitude", "eps"),
    [
        ("float32", 1e20, 1e-5),
        ("float32", 3e38, 1e-5),
        ("float32", 1e-30, 0.0),
        ("float32", 1e-44, 0.0),
        ("float64", 1e160, 1e-5),
        ("float64", 1.7e308, 1e-5),
        ("float64", 1e-300, 0.0),
    ],
)
def test_batch_norm_of_values_whose_squares_leave_the_dtype(dtype: str, magnitude: float, eps: float) -> None:
    one = np.ones(1, dtype)
    x = np.array([[magnitude], [-magnitude], [magnitude], [-magnitude]], dtype)
    y, mean, variance = lk.batch_norm(x, one, 0 * one, eps=eps)
    np.testing.assert_allclose(y, np.sign(x), rtol=2 * np.finfo(dtype).eps)
    assert (mean, variance) == (0, np.inf if magnitude > 1 else 0)
    dx, dscale, dshift = lk.batch_norm_vjp(x, x[0], one, np.array([[4], [0], [0], [0]], dtype), eps=eps)
    np.testing.assert_allclose(dx[:, 0], [2, 0, -2, 0], rtol=0, atol=8 * np.finfo(dtype).eps)
    assert dshift == 4
    np.testing.assert_allclose(dscale, 4, rtol=2 * np.finfo(dtype).eps)
    images = x.reshape(4, 1, 1, 1) * np.ones((2, 2, 1), dtype)
    w = np.zeros((3, 3, 1, 1), dtype)
    w[1, 1] = 1
    y = lk.conv_block(images, w, one, 0 * one, eps=eps)[0]
    np.testing.assert_allclose(y.ravel(), [1, 0, 1, 0], rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mean_of_a_large_channel_is_finite(dtype: str) -> None:
    x, one = np.full((4, 1), np.finfo(dtype).max, dtype), np.ones(1, dtype)
    y, mean, variance = lk.batch_norm(x, one, 3 * one)
    assert (mean, variance) == (x[0], 0)
    np.testing.assert_array_equal(y, 3)


@pytest.mark.parametrize("size", [336, 1024])
@pytest.mark.parametrize("value", [0.7, 0.1])
def test_the_weight_gradient_of_one_constant_image(size: int, value: float) -> None:
    x = np.full((1, size, size, 1), value, np.float32)
    dw = lk.conv2d_vjp(x, np.zeros((3, 3, 1, 1), np.float32), x)[1][:, :, 0, 0]
    side = np.array([size - 1, size, size - 1])
    exact = np.outer(side, side) * float(x[0, 0, 0, 0]) ** 2
    assert np.all(np.abs(dw - exact) <= 20 * np.finfo(np.float32).eps * exact)
