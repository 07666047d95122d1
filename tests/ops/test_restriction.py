"""Laws of the restrictions, and of the distances that they make."""

import importlib.util
import math
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import leakysm as lk
from leakysm.errors import UserError
from leakysm.verify.precise import exact, precisely
from leakysm.verify.precise import log1p as exact_log1p
from leakysm.verify.precise import sqrt as exact_sqrt
from leakysm.verify.strategies import DTYPES, cotangents, pairs, restrictions, slopes, thresholds

from .test_autodiff import FRAMEWORKS, autodiff

inf = math.inf
PER = st.sampled_from(["pair", "coordinate"])
SIZES = st.floats(2.0**-20, 2.0**20, width=32)
CURVED = st.one_of(st.builds(lk.Log, SIZES), st.builds(lk.Root, SIZES))


class Soft(lk.Restriction):
    """Somebody's own."""

    scale: float = 1.0

    def value(self, xp, d):
        return self.scale * xp.log1p(d / self.scale)

    def derivative(self, xp, d):
        return 1 / (1 + d / self.scale)


@precisely
def exactly(restriction, d):
    """r(d) and r'(d) in 50 digits, of arrays of floats."""
    d, p = exact(d), exact(next(iter(restriction.parameters.values())))
    if isinstance(restriction, lk.Log):
        return p * exact_log1p(d / p), p / (p + d)
    beyond = np.asarray(d > p, dtype=bool)
    root = exact_sqrt(np.where(beyond, d, p) * p)
    return np.where(beyond, 2 * root - p, d), np.where(beyond, root / np.where(beyond, d, p), exact(1.0))


@precisely
def roundings(computed, truth):
    """The largest relative error, in halves of eps of the dtype; where the truth is 0 the result must be."""
    scale = np.where(truth == 0, exact(1.0), abs(truth))
    return float(np.max(abs(exact(computed) - truth) / scale)) * 2 / np.finfo(computed.dtype).eps


@given(restrictions(), DTYPES)
def test_distance_0_stays_0(restriction, dtype):
    assert restriction.value(np, np.zeros(3, dtype)).tolist() == [0, 0, 0]


@given(restrictions(), st.lists(st.floats(0, 2.0**60), min_size=2, max_size=20))
def test_a_restriction_keeps_the_order_and_never_exceeds_the_distance(restriction, distances):
    d = np.sort(np.array(distances))
    r, slope = restriction.value(np, d), restriction.derivative(np, d)
    slack = 1 + 8 * np.finfo(float).eps
    assert np.all(r[:-1] <= r[1:] * slack)
    assert np.all(r <= d * slack)
    assert np.all((slope > 0) & (slope <= 1))


@given(restrictions(), st.floats(2.0**-8, 2.0**12))
def test_the_derivative_is_that_of_the_value(restriction, d):
    """Five-point differences, on one side of every kink."""
    h = d * 2.0**-10
    if any(d - 2 * h <= kink <= d + 2 * h for kink in restriction.kinks):
        return
    points = restriction.value(np, d + h * np.array([-2.0, -1.0, 1.0, 2.0]))
    found = points @ np.array([1.0, -8.0, 8.0, -1.0]) / (12 * h)
    (expected,) = restriction.derivative(np, np.array([d]))
    third = isinstance(restriction, lk.Root) and d - 2 * h <= restriction.threshold <= d + 2 * h  # r'' jumps there
    error = h / d if third else 64 * 1.5 * 2.0**10 * np.finfo(float).eps + 2.0**-38
    assert abs(found - expected) <= error * max(expected, float(points[-1]) / d)


@given(CURVED, st.sampled_from(["float32", "float64"]), st.lists(st.floats(2.0**-60, 2.0**60, width=32), min_size=1))
def test_values_and_derivatives_keep_full_relative_accuracy(restriction, dtype, distances):
    """7.1 roundings: the argument, log1p (5.1), the product. Root's terms cancel to a third of their sum at worst."""
    d = np.array(distances, dtype)
    value, derivative = exactly(restriction, d)
    assert roundings(restriction.value(np, d), value) <= 3 * 5.5
    assert roundings(restriction.derivative(np, d), derivative) <= 6


@pytest.mark.parametrize("kind", [lk.Log, lk.Root])
@pytest.mark.parametrize("parameter", [2.0**-120, 2.0**-60, 1.0, 2.0**60, 2.0**127])
def test_extreme_parameters_and_distances_in_float32(kind, parameter):
    """Full relative accuracy from the smallest normal number to the largest."""
    d = np.ldexp(np.float32(1.75), np.arange(-126, 128)).astype(np.float32)
    value, derivative = exactly(kind(parameter), d)
    with np.errstate(all="ignore"):
        found, slope = kind(parameter).value(np, d), kind(parameter).derivative(np, d)
    normal = np.asarray(abs(value) > 2.0**-120, dtype=bool)
    assert roundings(found[normal], value[normal]) <= 3 * 5.5
    normal = np.asarray(derivative > 2.0**-120, dtype=bool)
    assert roundings(slope[normal], derivative[normal]) <= 6
    assert np.all(np.abs(found - value.astype(float))[~np.asarray(abs(value) > 2.0**-120, dtype=bool)] <= 2.0**-125)


@pytest.mark.parametrize("parameter", [1e-300, 1e-45, 1e-39, 1e39, 1e300])
@pytest.mark.parametrize("kind", [lk.Log, lk.Root])
def test_a_parameter_beyond_float32_gives_no_nan(kind, parameter):
    x = np.array([[0.0], [1e-22], [1.0], [1e18]], np.float32)
    metric = lk.RestrictedSquaredEuclidean(kind(parameter))
    for found in (metric(x, x), *metric.vjp(x, x, np.ones((4, 4), np.float32))):
        assert np.all(np.isfinite(found))


@given(st.floats(2.0**-60, 2.0**60))
def test_root_joins_smoothly(threshold):
    """At t the value is t and the slope 1, on both sides."""
    d = np.array([np.nextafter(threshold, 0), threshold, np.nextafter(threshold, inf)])
    restriction, eps = lk.Root(threshold), np.finfo(float).eps
    np.testing.assert_allclose(restriction.value(np, d), threshold, rtol=4 * eps)
    np.testing.assert_allclose(restriction.derivative(np, d), 1, rtol=4 * eps)
    assert restriction.kinks == ()


def test_root_of_an_infinite_threshold_is_squared_euclidean():
    x = np.linspace(-4, 4, 12).reshape(4, 3)
    metric = lk.RestrictedSquaredEuclidean(lk.Root(inf))
    np.testing.assert_array_equal(metric(x, x), lk.squared_euclidean(x, x))


@given(st.data(), PER, slopes())
def test_leak_is_the_leaky_distance_bit_for_bit(data, per, slope):
    dtype = data.draw(DTYPES)
    x, c = (a.astype(dtype) for a in data.draw(pairs(dtype)))
    dy = data.draw(cotangents((len(x), len(c)))).astype(dtype)
    threshold = data.draw(thresholds(lk.squared_euclidean(x, c).astype(np.float64)))
    leaky = lk.LeakySquaredEuclidean(threshold, slope, per)
    generic = lk.RestrictedSquaredEuclidean(lk.Leak(threshold, slope), per)
    np.testing.assert_array_equal(generic(x, c), leaky(x, c))
    for ours, theirs in zip(generic.vjp(x, c, dy), leaky.vjp(x, c, dy), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(st.data(), PER)
def test_somebody_elses_log_is_log(data, per):
    x, c = data.draw(pairs("float64", "plain"))
    dy = data.draw(cotangents((len(x), len(c))))
    own, ours = (lk.RestrictedSquaredEuclidean(r, per) for r in (Soft(0.5), lk.Log(0.5)))
    np.testing.assert_allclose(own(x, c), ours(x, c), rtol=1e-14)
    for a, b in zip(own.vjp(x, c, dy), ours.vjp(x, c, dy), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_a_restriction_is_a_value():
    assert Soft(2.0) == Soft(scale=2.0) != Soft()
    assert Soft(2.0).parameters == {"scale": 2.0}
    assert str(lk.RestrictedSquaredEuclidean(Soft(2.0))) == "Soft scale=2.0 per=pair"
    with pytest.raises(AttributeError):
        Soft().scale = 3.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lk.Log(0), "scale is 0; 0 < scale < inf is expected"),
        (lambda: lk.Log(inf), "scale is inf; 0 < scale < inf is expected"),
        (lambda: lk.Log(math.nan), "scale is nan; 0 < scale < inf is expected"),
        (lambda: lk.Root(0.0), "threshold is 0.0; 0 < threshold <= inf is expected"),
        (lambda: lk.Root(-1.0), "threshold is -1.0; 0 < threshold <= inf is expected"),
        (lambda: lk.Leak(-1.0, 0.5), "threshold is -1.0; 0 <= threshold <= inf is expected"),
        (lambda: lk.Leak(1.0, 0.0), "slope is 0.0; 0 < slope <= 1 is expected"),
        (lambda: lk.Log("wide"), "scale is 'wide'"),
        (lambda: lk.RestrictedSquaredEuclidean(lk.Log), "restriction is the class Log; an instance is expected"),
        (lambda: lk.RestrictedSquaredEuclidean(1.0), "restriction is of type float; an instance of a subclass"),
        (lambda: lk.RestrictedSquaredEuclidean(lk.Log(), "row"), "per is 'row'; 'pair' or 'coordinate' is expected"),
    ],
)
def test_what_is_out_of_range_is_told_in_one_line(make, message):
    with pytest.raises(UserError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_class_without_a_value_says_so():
    class Empty(lk.Restriction):
        pass

    with pytest.raises(UserError, match=r"Empty has no value\(xp, d\); define it"):
        lk.RestrictedSquaredEuclidean(Empty())(np.ones((1, 1)), np.ones((1, 1)))


@pytest.mark.skipif(not FRAMEWORKS, reason="needs torch or jax")
@pytest.mark.parametrize("per", ["pair", "coordinate"])
@pytest.mark.parametrize("restriction", [lk.Leak(1.0, 0.25), lk.Log(0.5), lk.Root(0.5), Soft(0.5)], ids=str)
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_autodiff_gives_the_gradient(framework, restriction, per):
    """At coincident points too: the second query lies on the first prototype."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"needs {framework}")
    x, c = np.array([[1.0, 2.0, -1.0], [0.5, 0.25, 0.125]]), np.array([[0.5, 0.25, 0.125], [3.0, 0.0, 0.5]])
    dy = np.array([[1.0, -0.5], [2.0, 0.25]])
    metric = lk.RestrictedSquaredEuclidean(restriction, per)
    y, gradients = autodiff(framework, metric, [x, c], dy)
    np.testing.assert_allclose(y, metric(x, c), rtol=1e-14)
    for found, expected in zip(gradients, metric.vjp(x, c, dy), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_every_built_in_restriction_is_verified():
    from leakysm.ops.restriction import RESTRICTIONS
    from leakysm.verify.oracle.restricted import RESTRICTIONS as ORACLES
    from leakysm.verify.registry import ENTRIES
    from leakysm.verify.table import RESTRICTIONS as BOUNDS

    cases = {type(t.case.parameters["restriction"]) for t in ENTRIES["restricted_squared_euclidean"].truths}
    missing = [f"{name} in verify/cases/restricted.py" for name, kind in RESTRICTIONS.items() if kind not in cases]
    missing += [f"{name} in verify/table.py" for name, kind in RESTRICTIONS.items() if kind.__name__ not in BOUNDS]
    oracles = [name for name, kind in RESTRICTIONS.items() if kind.__name__ not in ORACLES]
    missing += [f"{name} in verify/oracle/restricted.py" for name in oracles]
    drawn: set[type] = set()

    @settings(max_examples=60, database=None)
    @given(restrictions())
    def draw(one):
        drawn.add(type(one))

    draw()
    missing += [f"{name} in verify/strategies/arrays.py" for name, kind in RESTRICTIONS.items() if kind not in drawn]
    schema = (resources.files("leakysm.reference_data") / "vectors.schema.json").read_text()
    missing += [f"{name} in reference_data/vectors.schema.json" for name in RESTRICTIONS if f'"{name}"' not in schema]
    assert not missing
