"""Student's t distribution against closed forms, its own laws, and SciPy where that is installed."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from leakysm.experiments.student import Paired, holm, incomplete_beta, paired, quantile, two_sided

EPS = 2.0**-52
degrees_of_freedom = st.integers(1, 200)
K = 40  # the fraction's terms round one after another; measured at most 14, with a margin
SMALLEST_NORMAL = 2.0**-1022


def tolerance(scale: float, *exponents: float) -> float:
    """exp(u + v + ...) carries the rounding of each exponent, |u| eps, into the relative error of the result."""
    return K * EPS * scale * (1 + sum(map(abs, exponents))) + SMALLEST_NORMAL


def gamma_exponents(degrees: int) -> tuple[float, float]:
    """The logarithms of gamma functions in I_x(degrees / 2, 1 / 2), which nearly cancel."""
    return math.lgamma(degrees / 2), math.lgamma(degrees / 2 + 0.5)


@given(st.floats(-1e6, 1e6))
def test_one_degree_of_freedom_is_cauchy(t: float) -> None:
    exact = 2 / math.pi * math.atan2(1, abs(t))
    assert abs(two_sided(t, 1) - exact) <= tolerance(exact)


@given(st.floats(-1e6, 1e6))
def test_two_degrees_of_freedom_in_closed_form(t: float) -> None:
    root = math.hypot(t, math.sqrt(2))
    exact = 2 / (root * (root + abs(t)))  # 1 - |t| / root, without cancellation
    assert abs(two_sided(t, 2) - exact) <= tolerance(exact, math.log(exact))


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 1))
def test_incomplete_beta_of_whole_numbers_is_a_binomial_tail(a: int, b: int, x: float) -> None:
    n, y = a + b - 1, 1 - x
    exact = math.fsum(math.comb(n, k) * x**k * y ** (n - k) for k in range(a, n + 1))
    # where the result is near 1 it is 1 minus the other tail: the scale of the terms is 1
    assert abs(incomplete_beta(a, b, x, y) - exact) <= tolerance(1.0, n)


@given(st.floats(-1e3, 1e3), degrees_of_freedom)
def test_symmetric_and_falling_with_the_magnitude(t: float, degrees: int) -> None:
    p = two_sided(t, degrees)
    assert two_sided(-t, degrees) == p
    assert 0 <= p <= 1
    assert two_sided(2 * t, degrees) <= p * (1 + K * EPS)


@given(st.floats(0.01, 0.999), degrees_of_freedom)
def test_the_quantile_inverts_the_distribution(confidence: float, degrees: int) -> None:
    t = quantile(confidence, degrees)
    assert abs(two_sided(t, degrees) - (1 - confidence)) <= tolerance(1.0, math.log(1 - confidence))


@pytest.mark.parametrize(
    ("degrees", "printed"), [(1, 12.706), (2, 4.303), (3, 3.182), (9, 2.262), (30, 2.042), (120, 1.980)]
)
def test_the_printed_table(degrees: int, printed: float) -> None:
    """Any textbook's table of t at 95 %, two-sided."""
    assert round(quantile(0.95, degrees), 3) == printed


@given(st.floats(-50, 50), degrees_of_freedom, st.floats(0.5, 0.999))
def test_against_scipy(t: float, degrees: int, confidence: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    exact = 2 * float(stats.t.sf(abs(t), degrees))
    assert abs(two_sided(t, degrees) - exact) <= tolerance(exact, math.log(exact), *gamma_exponents(degrees))
    theirs = float(stats.t.ppf((1 + confidence) / 2, degrees))
    assert abs(quantile(confidence, degrees) - theirs) <= tolerance(
        theirs, 1 / (1 - confidence), *gamma_exponents(degrees)
    )


@given(st.lists(st.integers(0, 64).map(lambda i: i / 64), max_size=6), st.integers(0, 64).map(lambda i: i / 64))
@example([0.25, 0.03125, 0.046875, 0.0625], 0.125)
def test_a_corrected_p_value_says_what_holms_procedure_rejects(p_values: list[float], level: float) -> None:
    """From the smallest on: reject while (m - k) p is within the level, and nothing after the first failure."""
    corrected, m = holm(p_values), len(p_values)
    assert all(p <= one <= 1 for p, one in zip(p_values, corrected, strict=True))
    going = True
    for k, i in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        going = going and (m - k) * p_values[i] <= level
        assert (corrected[i] <= level) == (going or level == 1)


@given(st.lists(st.integers(-6400, 6400).map(lambda i: i / 64), min_size=3, max_size=20))
def test_paired_against_scipy(differences: list[float]) -> None:
    stats = pytest.importorskip("scipy.stats")
    mine = paired(differences)
    spread = max(differences) - min(differences)
    assume(spread > 0)  # SciPy divides by it
    theirs = stats.ttest_1samp(differences, 0)
    interval = theirs.confidence_interval(0.95)
    size = math.fsum(map(abs, differences)) / len(differences)
    condition = size / spread  # of the differences from the mean
    assert mine.n == len(differences)
    assert abs(mine.mean - (interval.low + interval.high) / 2) <= tolerance(size, condition)
    assert abs(mine.interval - (interval.high - interval.low) / 2) <= tolerance(
        mine.interval, condition, len(differences)
    )
    assert abs(mine.p_value - theirs.pvalue) <= tolerance(
        theirs.pvalue, condition * (1 + abs(theirs.statistic)) ** 2, len(differences)
    )


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=9), st.integers(-900, 900))
@example([0.0, 0.0, 1.0], -890)
def test_the_unit_does_not_matter(differences: list[float], exponent: int) -> None:
    unit = 2.0**exponent
    assume(all(d == 0 or abs(d) * unit > 2.0**-900 for d in differences))
    mine, other = paired(differences), paired([d * unit for d in differences])
    assert other == Paired(mine.mean * unit, mine.interval * unit, mine.p_value, mine.n)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=2))
def test_nothing_is_inferred_from_fewer_than_three(differences: list[float]) -> None:
    result = paired(differences)
    assert (result.interval, result.p_value, result.n) == (None, None, len(differences))
    assert min(differences) <= result.mean <= max(differences)


@given(st.integers(-8, 8), st.integers(3, 9))
def test_equal_differences_have_no_spread_from_which_to_infer(value: int, n: int) -> None:
    """Also if they are equal but for rounding."""
    for last in (value / 4, value / 4 * (1 + 2.0**-50)):
        result = paired([value / 4] * (n - 1) + [last])
        assert (result.mean, result.interval) == (pytest.approx(value / 4), 0.0)
        assert result.p_value == (1.0 if value == 0 else None)


def test_no_differences_are_refused() -> None:
    with pytest.raises(ValueError, match="no differences"):
        paired([])
