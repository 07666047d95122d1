"""The one form of tolerance: what it accepts and what it does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.verify.bounds import BLOCK, Bound, Exact, Precision, Severity, errors, tolerance, tree_depth
from leakysm.verify.precise import arithmetic, exact

ONE = Exact.of(exact([1.0]), exact([3.0]), 2.0)
HUGE = Exact.of(exact([1e300]) ** 2, exact([1e300]) ** 2, 1.0)


def ratio(found: float, truth: Exact, dtype: str = "float64", k: float = 1.0, *, gradient: bool = False) -> float:
    return float(errors(np.array([found], dtype), truth, k, Precision(dtype), gradient=gradient)[0])


@given(st.floats(0.5, 100), st.sampled_from(["float32", "float64"]))
def test_the_bound_is_k_eps_scale_plus_under_smallest_normal(k: float, dtype: str) -> None:
    info = np.finfo(dtype)
    expected = k * float(info.eps) * 3 + 2 * float(info.smallest_normal)
    assert tolerance(ONE, k, Precision(dtype)) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("steps", "passes"), [(0, True), (2, True), (4, False)])
def test_an_error_is_measured_in_bounds(steps: int, passes: bool) -> None:
    found = 1 + steps * 2.0**-52
    assert (ratio(found, ONE) <= 1) is passes
    assert ratio(found, ONE) == pytest.approx(steps / 3, rel=1e-9)


def test_the_exact_value_counts_beyond_the_last_bit_of_float64() -> None:
    with arithmetic():
        third = exact([1.0]) / 3
    near, far = 1 / 3, float(np.nextafter(1 / 3, 1))
    truth = Exact.of(third, third, 0.0)
    assert ratio(near, truth) == pytest.approx(0.25, rel=1e-6)  # a quarter of an ulp away, where an ulp is eps / 4
    assert ratio(far, truth) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_beyond_any_bound(wrong: float) -> None:
    assert ratio(wrong, ONE) == np.inf


@pytest.mark.parametrize(("found", "passes"), [(np.inf, True), (-np.inf, False), (1e308, False), (np.nan, False)])
def test_beyond_the_dtype_infinity_of_the_right_sign_is_expected(found: float, passes: bool) -> None:
    assert (ratio(found, HUGE) <= 1) is passes


def test_an_overflow_on_the_way_excuses_an_infinite_value_and_any_gradient() -> None:
    truth = Exact.of(exact([1.0]), exact([1.0]), 1.0, exact([1e39]))
    assert ratio(np.inf, truth, "float32") == 0
    assert ratio(2.0, truth, "float32") > 1
    assert ratio(2.0, truth, "float32", gradient=True) == 0
    assert ratio(2.0, truth, "float64", gradient=True) > 1


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
def test_exact_infinities_and_nan_are_met_exactly(special: float) -> None:
    truth = Exact.of(exact([special]), exact([1.0]), 1.0)
    assert ratio(special, truth) == 0
    assert ratio(1.0, truth) == np.inf


def test_float16_is_allowed_one_rounding_of_a_float32_result() -> None:
    with arithmetic():
        third = exact([1.0]) / 3
    truth = Exact.of(third, third, 0.0)
    nearest = np.float16(1 / 3)
    assert ratio(float(nearest), truth, "float16") <= 1
    assert ratio(float(np.nextafter(nearest, np.float16(1))), truth, "float16") > 1


@given(st.integers(0, 10**6))
def test_the_depth_of_a_tree_of_sums(n: int) -> None:
    assert tree_depth(n) == (0 if n < 2 else int(np.ceil(np.log2(n))))


def test_a_bound_is_a_formula_of_the_sizes_and_of_nothing_else() -> None:
    bound = Bound("product(9 * C) + log2(D) / 2 + max(1, R) + 3", "s")
    assert bound.factor({"C": 4, "D": 5, "R": "C + 2"}, Severity("ours", False)) == (36 + 1.5 + 6 + 3) / 2
    with pytest.raises(NameError):
        Bound("open(D)", "s").factor({"D": 1}, Severity("ours", False))


@given(st.integers(0, 10**6))
def test_usual_is_at_most_worst_and_ours_at_most_anybodys(n: int) -> None:
    for rule in (Severity.sum, Severity.product, Severity.blocks):
        any_worst, any_usual, our_worst, our_usual = (
            rule(Severity(order, usual), n) for order in ("any", "ours") for usual in (False, True)
        )
        assert 0 <= any_usual <= any_worst
        assert 0 <= our_usual <= our_worst <= max(any_worst, 1)


def test_sums_count_their_additions() -> None:
    ours, others, usual = Severity("ours", False), Severity("any", False), Severity("any", True)
    assert [ours.sum(n) for n in (1, 2, 3, 1024)] == [0, 1, 2, 10]
    assert [others.sum(n) for n in (1, 2, 1024)] == [0, 1, 1023]
    assert [usual.sum(n) for n in (2, 10, 10_000)] == [1, 9, 400]
    assert ours.blocks(BLOCK * 8) == BLOCK + 3 + 5
    assert (ours.other(3), others.other(3)) == (0, 3)
