"""Products cut into pieces are the products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.backends.numpy import products

sizes = st.integers(0, 70)


def whole(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Small whole numbers: every order of summation gives the same bits."""
    return rng.integers(-4, 5, shape).astype("float32")


@given(
    m=sizes,
    k=sizes,
    n=sizes,
    small=st.sampled_from([1, 500, 20_000, products.WHOLE, None]),
    transposed=st.booleans(),
)
def test_multiply(m, k, n, small, transposed):
    rng = np.random.default_rng(0)
    a = whole(rng, k, m).T if transposed else whole(rng, m, k)
    b, out = whole(rng, k, n), np.full((m, n), np.nan, "float32")
    products.multiply(a, b, out, small=small)
    np.testing.assert_array_equal(out, a @ b)


@given(
    rows=st.lists(sizes, max_size=4),
    k=st.integers(1, 40),
    n=st.integers(1, 90),
    small=st.sampled_from([1, 500, 10**6, products.WHOLE, None]),
)
def test_transposed_product(rows, k, n, small):
    rng = np.random.default_rng(1)
    pairs = [(whole(rng, m, k), whole(rng, m, n)) for m in rows]
    product = products.TransposedProduct(k, n, np.dtype("float32"), small=small)
    for a, b in pairs:
        product.add(a, b)
    expected = sum((a.T @ b for a, b in pairs), start=np.zeros((k, n), "float32"))
    np.testing.assert_array_equal(product.value(), expected)


@pytest.mark.parametrize(("k", "n"), [(9, 1), (9, 64), (64, 576)])
@pytest.mark.parametrize("rows", [1, 700, 1229, 17248])
@pytest.mark.parametrize("small", [products.SMALL, products.WHOLE])
def test_a_long_sum_of_equal_terms_does_not_drift(k: int, n: int, rows: int, small: int) -> None:
    product = products.TransposedProduct(k, n, np.dtype(np.float32), small=small)
    calls = max(3, 60_000 // rows) if rows > 1 else 3
    a, b = np.full((rows, k), 0.7, np.float32), np.full((rows, n), 0.7, np.float32)
    for _ in range(calls):
        product.add(a, b)
    exact = calls * rows * float(a[0, 0]) ** 2
    assert np.all(np.abs(product.value() - exact) <= 22 * np.finfo(np.float32).eps * exact)
