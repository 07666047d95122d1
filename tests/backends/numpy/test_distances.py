"""Distances by matrix products: within the bounds everywhere, exact where that is promised, in little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leakysm import ops
from leakysm.backends.numpy.distances.cosine import cosine_distances, cosine_gradient
from leakysm.backends.numpy.distances.tiling import CoordinateTiling, GradientTiling, SumTiling, Tiling
from leakysm.backends.numpy.engine import NumpyEngine
from leakysm.backends.numpy.threads import Workers
from leakysm.ops.restriction import Leak, Log, Root
from leakysm.verify.adapters.engine import EngineImplementation
from leakysm.verify.conformance import OWN_DTYPES, Settings, conform

OPERATIONS = (
    "squared_euclidean",
    "leaky_squared_euclidean",
    "restricted_squared_euclidean",
    "euclidean",
    "cosine_distance",
)
PARAMETERS = {
    "leaky_squared_euclidean": {"threshold": 2.0, "slope": 0.1},
    "restricted_squared_euclidean": {"restriction": Log(0.5)},
}
FLOATS = ("float32", "float64")
seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 30))


# Several tiles each way, and products added up from several pieces, at sizes that a test can afford.
SMALL = Tiling(
    SumTiling(coordinates=32, shortest=2, longest=3, depth=4, split_depth=5, gathered=3, alone=0),
    GradientTiling(points=3, coordinates=12, sample=2, gathered=4, alone=0),
    CoordinateTiling(differences=8, depth=4, across=2),
)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_within_the_bounds_in_small_tiles(operation):
    most = 300  # thousands of tiles: the largest cases would take minutes
    settings = Settings(dtypes=OWN_DTYPES, strict=True, examples=3, most_numbers=most)
    engine = EngineImplementation(NumpyEngine(2, distances=SMALL))
    report = conform(engine, operations=[operation], settings=settings)
    assert [row.status for row in report.rows] == ["passed"], [row.problem for row in report.rows]


def points(seed: int, size: tuple[int, int, int], dtype: str, spread: float = 1.0, origin: float = 0.0):
    """x (N, D), c (M, D) and a cotangent; some points near-coincident, some coincident, a column of zeros."""
    N, M, D = size
    rng = np.random.default_rng(seed)
    x, c = (origin + spread * rng.standard_normal((n, D)) for n in (N, M))
    near = rng.integers(0, 3, N)
    x = np.where(near[:, None] == 0, c[rng.integers(0, M, N)], x)
    x[near == 1] = c[rng.integers(0, M, (near == 1).sum())] * (1 + 1e-7)
    x[:, 0] = c[:, 0] = 0
    return x.astype(dtype), c.astype(dtype), rng.standard_normal((N, M)).astype(dtype)


def exact_distances(x: np.ndarray, c: np.ndarray) -> np.ndarray:
    """In extended precision, from differences."""
    difference = x[:, None, :].astype(np.longdouble) - c[None, :, :].astype(np.longdouble)
    return (difference * difference).sum(-1)


@pytest.mark.parametrize("origin", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [(300, 60, 64), (70, 20, 1600), (700, 330, 8)])
def test_every_distance_keeps_its_relative_accuracy(size, dtype, origin):
    x, c, _ = points(1, size, dtype, origin=origin)
    y, _ = NumpyEngine(2).operation("squared_euclidean").forward(x, c)
    exact, eps = exact_distances(x, c), np.finfo(dtype).eps
    assert np.all(abs(y - exact) <= (np.ceil(np.log2(size[2])) + 3) * eps * exact)
    assert np.all(y[exact == 0] == 0)
    assert (exact == 0).any()


@pytest.mark.parametrize("origin", [0.0, 1e3])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [(300, 60, 64), (60, 20, 400), (40, 700, 8)])
def test_every_gradient_keeps_its_accuracy(size, dtype, origin):
    """Against the terms that it adds up, not against what cancels."""
    x, c, dy = points(2, size, dtype, origin=origin)
    pair = NumpyEngine(2).operation("squared_euclidean")
    dx, dc = pair.backward(pair.forward(x, c)[1], dy)
    difference = x[:, None, :].astype(np.longdouble) - c[None, :, :].astype(np.longdouble)
    terms, eps = 2 * dy[:, :, None] * difference, np.finfo(dtype).eps
    for found, axis, sign in ((dx, 1, 1), (dc, 0, -1)):
        allowed = (np.ceil(np.log2(size[axis])) + 4) * eps * abs(terms).sum(axis)
        assert np.all(abs(found - sign * terms.sum(axis)) <= allowed)
        assert np.all(found[abs(terms).sum(axis) == 0] == 0)


@given(seed=seeds, size=sizes, dtype=st.sampled_from(FLOATS), scale=st.sampled_from([-60, -20, 0, 17, 60]))
@example(seed=0, size=(1, 1, 1), dtype="float32", scale=-60)
def test_a_power_of_two_scales_every_distance_exactly(seed, size, dtype, scale):
    x, c, _ = points(seed, size, dtype)
    pair = NumpyEngine(1).operation("squared_euclidean")
    with np.errstate(all="ignore"):
        expected = pair.forward(x, c)[0] * np.asarray(2.0 ** (2 * scale), dtype)
        scaled = (a * np.asarray(2.0**scale, dtype) for a in (x, c))
        y, _ = pair.forward(*scaled)
    least = np.finfo(dtype).smallest_normal
    normal = (expected == 0) | (expected > least)  # infinite ones too
    np.testing.assert_array_equal(y[normal], expected[normal])
    assert np.all(abs(y[~normal] - expected[~normal]) <= 2 * least)  # what underflowed in sums of its own


@given(seed=seeds, size=sizes, dtype=st.sampled_from(FLOATS), per=st.sampled_from(["pair", "coordinate"]))
def test_no_restriction_is_squared_euclidean_bit_for_bit(seed, size, dtype, per):
    x, c, dy = points(seed, size, dtype)
    engine = NumpyEngine(2)
    plain, leaky = engine.operation("squared_euclidean"), engine.operation("leaky_squared_euclidean")
    y, saved = plain.forward(x, c)
    for threshold, slope in ((np.inf, 0.1), (2.0, 1.0)):
        restricted, saved_leaky = leaky.forward(x, c, threshold=threshold, slope=slope, per=per)
        np.testing.assert_array_equal(restricted, y)
        for a, b in zip(leaky.backward(saved_leaky, dy), plain.backward(saved, dy), strict=True):
            np.testing.assert_array_equal(a, b)


@given(seed=seeds, size=sizes, dtype=st.sampled_from(FLOATS), per=st.sampled_from(["pair", "coordinate"]))
def test_a_leak_is_the_leaky_distance_bit_for_bit(seed, size, dtype, per):
    x, c, dy = points(seed, size, dtype)
    engine = NumpyEngine(2)
    leaky, restricted = (engine.operation(f"{name}_squared_euclidean") for name in ("leaky", "restricted"))
    y, saved = leaky.forward(x, c, threshold=2.0, slope=0.1, per=per)
    same, saved_restricted = restricted.forward(x, c, restriction=Leak(2.0, 0.1), per=per)
    np.testing.assert_array_equal(same, y)
    for a, b in zip(restricted.backward(saved_restricted, dy), leaky.backward(saved, dy), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("restriction", [Log(0.5), Root(np.inf)], ids=str)
def test_a_caller_may_change_the_result_before_the_backward_pass(restriction):
    x, c, dy = points(5, (4, 3, 6), "float64")
    pair = NumpyEngine(1).operation("restricted_squared_euclidean")
    expected = pair.backward(pair.forward(x, c, restriction=restriction)[1], dy)
    y, saved = pair.forward(x, c, restriction=restriction)
    y[...] = np.nan
    for a, b in zip(pair.backward(saved, dy), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@given(seed=seeds, size=sizes, dtype=st.sampled_from(FLOATS), operation=st.sampled_from(OPERATIONS))
def test_threads_do_not_change_a_bit(seed, size, dtype, operation):
    x, c, dy = points(seed, size, dtype)
    parameters = PARAMETERS.get(operation, {})

    def run(engine):
        y, saved = engine.operation(operation).forward(x, c, **parameters)
        return (y, *engine.operation(operation).backward(saved, dy))

    tiling = Tiling(SumTiling(alone=0, coordinates=32), GradientTiling(alone=0, coordinates=32))
    one, three = (run(NumpyEngine(threads, distances=tiling)) for threads in (1, 3))
    for a, b in zip(one, three, strict=True):
        assert a.dtype == dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_shows_where_the_reference_shows_it(operation, dtype, value):
    x, c, _ = points(3, (4, 5, 6), dtype)
    x[1, 2] = value
    parameters = PARAMETERS.get(operation, {})
    y, _ = NumpyEngine(1).operation(operation).forward(x, c, **parameters)
    expected = getattr(ops, operation)(x, c, **parameters)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(y), np.isinf(expected))


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_distance_beyond_the_dtype_is_infinite_without_a_warning(dtype):
    large = np.sqrt(np.finfo(dtype).max)
    x, c = np.array([[large, large], [1, 2]], dtype), np.array([[-large, 0], [1, 2]], dtype)
    y, _ = NumpyEngine(1).operation("squared_euclidean").forward(x, c)
    np.testing.assert_array_equal(np.isinf(y), [[True, True], [False, False]])
    assert y[1, 1] == 0


@pytest.mark.parametrize("operation", ["squared_euclidean", "restricted_squared_euclidean"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [(2000, 1500, 64), (60, 40, 60_000), (20_000, 30, 30)])
def test_extra_memory_is_bounded(size, dtype, operation):
    """Beyond inputs and outputs: under 64 MB, forwards and backwards; with a restriction a few (N, M) more."""
    N, M, D = size
    rng = np.random.default_rng(0)
    x, c, dy = (rng.standard_normal(shape).astype(dtype) for shape in ((N, D), (M, D), (N, M)))
    pair, parameters = NumpyEngine(2).operation(operation), PARAMETERS.get(operation, {})
    more = 8 * N * M * dy.itemsize if parameters else 0
    tracemalloc.start()
    y, saved = pair.forward(x, c, **parameters)
    forwards = tracemalloc.get_traced_memory()[1] - y.nbytes
    tracemalloc.reset_peak()
    pair.backward(saved, dy)
    backwards = tracemalloc.get_traced_memory()[1] - y.nbytes - x.nbytes - c.nbytes
    tracemalloc.stop()
    assert max(forwards, backwards) < 64e6 + more


@pytest.mark.parametrize("M", [32, 64, 320])
def test_a_gradient_by_coordinates_keeps_its_bound_where_every_term_rounds_upwards(M):
    """One term of 1, the others just above half an ulp of it: added one after another, each would be rounded up."""
    x, c, dy = np.zeros((1, 1)), np.full((M, 1), -0.5), np.full((1, M), 2.0**-53 * 1.001)
    dy[0, 0] = 1
    pair = NumpyEngine(1).operation("leaky_squared_euclidean")
    _, saved = pair.forward(x, c, threshold=9.0, slope=0.1, per="coordinate")
    dx, _ = pair.backward(saved, dy)
    assert abs(dx[0, 0] - 1 - dy[0, 1:].sum()) <= (np.log2(M) + 6) * 2.0**-52


def test_cosine_in_small_tiles_is_as_in_one():
    x, c, dy = points(4, (7, 5, 6), "float32")
    workers = Workers(2)
    calls = (
        lambda most: cosine_distances(x, c, workers, points=most),
        lambda most: cosine_gradient(x, c, dy, workers, points=most),
    )
    for call in calls:
        np.testing.assert_allclose(call(2), call(100), rtol=0, atol=4 * np.finfo("float32").eps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("per", ["pair", "coordinate"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_bits_do_not_depend_on_the_memory_layout(operation, per, dtype):
    """Sums of 300 terms in another order would show."""
    given = PARAMETERS.get(operation, {})
    given = {**given, "per": per} if given else given
    pair = NumpyEngine().operation(operation)
    x, c, dy = (
        np.random.default_rng(i).normal(size=size).astype(dtype)
        for i, size in enumerate([(70, 300), (50, 300), (70, 50)])
    )
    x[:3] = c[:3] + 1e-4
    bits = []
    for layout in (np.ascontiguousarray, np.asfortranarray, lambda a: np.flip(np.flip(a).copy())):
        y, saved = pair.forward(layout(x), layout(c), **given)
        bits.append([a.tobytes() for a in (y, *pair.backward(saved, layout(dy)))])
    assert bits[1:] == bits[:1] * 2
