"""What is found of somebody's own distance: kinks, direction, errors, and counterexamples to derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import leakysm as lk
from leakysm.errors import UserError
from leakysm.verify import formula_report
from leakysm.verify.formula import check_restriction
from leakysm.verify.formula_report import as_json, check_distance, lines
from leakysm.verify.strategies import restrictions


class Bent(lk.Restriction):
    """Slope 1, beyond the threshold `slope`; `right` gives the right derivative at the kink."""

    threshold: float = 3.7
    slope: float = 0.25
    right: bool = False
    jump: float = 0.0

    def value(self, xp, d):
        return xp.where(d <= self.threshold, d, self.threshold + self.jump + self.slope * (d - self.threshold))

    def derivative(self, xp, d):
        within = d < self.threshold if self.right else d <= self.threshold
        return xp.where(within, xp.ones_like(d), self.slope * xp.ones_like(d))


class Bump(lk.Restriction):
    def value(self, xp, d):
        return d * xp.exp(-d / 8)

    def derivative(self, xp, d):
        return (1 - d / 8) * xp.exp(-d / 8)


class UsesNumPy(lk.Restriction):
    factor: float = 1.0

    def value(self, xp, d):
        return np.log1p(d)

    def derivative(self, xp, d):
        return self.factor / (1 + d)


class Rough(lk.Restriction):
    def value(self, xp, d):
        return xp.sqrt(1 + d) - 1  # loses digits where d is small

    def derivative(self, xp, d):
        return 0.5 / xp.sqrt(1 + d)


class Root(lk.Restriction):
    def value(self, xp, d):
        return xp.sqrt(d)

    def derivative(self, xp, d):
        return 0.5 / xp.sqrt(d)


@settings(max_examples=10)
@given(restrictions())
def test_the_built_in_restrictions_are_right(restriction):
    found = check_restriction(restriction, thorough=False)
    assert found.problem is None
    assert found.falls is None
    assert found.digits == "50 digits"


def test_kinks_are_found_and_named():
    (kink,) = check_restriction(Bent()).kinks
    assert kink == (3.7, 1.0, 0.25, False)
    (kink,) = check_restriction(lk.Leak(2.0, 0.5)).kinks
    assert kink == (2.0, 1.0, 0.5, True)
    assert check_restriction(lk.Root(2.0)).kinks == []


def test_a_formula_that_falls_is_told():
    found = check_restriction(Bump())
    assert found.problem is None
    assert found.kinks == []
    assert 8 < found.falls <= 11
    assert "a class that is farther away may win" in "\n".join(lines(found))


class Step(lk.Restriction):
    """Slope 1 up to `at`, then slope `slope`; the value jumps by `jump` there. The place is neither on the grid, nor
    near a parameter that is looked at."""

    at: str = "5.3"
    jump: float = 0.0
    slope: float = 1.0

    def value(self, xp, d):
        at = float(self.at)
        return xp.where(d < at, d, at + self.jump + self.slope * (d - at))

    def derivative(self, xp, d):
        return xp.where(d < float(self.at), xp.ones_like(d), self.slope * xp.ones_like(d))


@pytest.mark.parametrize(("at", "jump"), [("5.3", 3.0), ("5", 0.001), ("5", -3.0), ("0.0123", 0.01), ("77777", 3.0)])
def test_a_jump_between_equal_slopes_is_found(at, jump):
    assert f"jumps at d = {at}, so it has no derivative there" in check_restriction(Step(at, jump)).problem


def test_a_formula_that_does_not_rise_is_told():
    told = "does not rise, e.g. at d = 5.623413252: it cannot tell classes apart, and has no gradient there"
    assert told in "\n".join(lines(check_restriction(Step("5.3", 0.0, 0.0))))
    assert "rises everywhere" in "\n".join(lines(check_restriction(Step("5.3", 0.0, 0.01))))


def test_errors_are_measured_and_a_bound_is_proposed():
    by_name = {(error.what, error.dtype): error for error in check_restriction(lk.Log(0.3)).errors}
    for error in by_name.values():
        assert 0 < error.eps < error.bound <= 4
    value, derivative, *_ = (error for error in check_restriction(Rough()).errors if error.dtype == "float32")
    assert value.eps > 1e5
    assert value.bound is None
    assert derivative.bound <= 3


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        (Bent(right=True), "at d = 3.7, where the value is 3.7, it gives 0.25, but the slope of the value is 1 from"),
        (Bent(jump=1.0), "the value of Bent threshold=3.7 slope=0.25 right=False jump=1.0 jumps at d = 3.7"),
        (UsesNumPy(2.0), "it gives 1, but the slope of the value is 0.5"),
        (Root(), "the derivative of Root in float64 is inf at d = 0, the distance of points that coincide"),
    ],
    ids=["right derivative", "jump", "NumPy alone", "infinite at 0"],
)
def test_what_is_wrong_has_a_counterexample(metric, problem):
    found = check_distance(lk.RestrictedSquaredEuclidean(metric))
    assert problem in found.problem
    assert problem in lines(found)[-1]


def test_a_formula_that_uses_numpy_is_checked_in_float64():
    found = check_restriction(UsesNumPy())
    assert (found.problem, found.digits, found.kinks, found.errors) == (None, "float64", [], [])


class Squared(lk.Metric):
    change: str = ""

    def __call__(self, x, c):
        y = ((x[:, None, :] - c[None, :, :]) ** 2).sum(axis=-1)
        return y.astype("float64") if self.change == "dtype" else y

    def vjp(self, x, c, dy):
        g = 2 * dy[:, :, None] * (x[:, None, :] - c[None, :, :])
        if self.change == "in place":
            dy += 1
        return g.sum(axis=1), (g if self.change == "sign" else -g).sum(axis=0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("sign", "dc[0, 0] is 2, but the slope of the distances is -2"),
        ("in place", "changes its arguments"),
    ],
)
def test_a_whole_metric_is_checked(change, problem):
    assert problem in check_distance(Squared(change)).problem


def test_another_dtype_is_refused():
    with pytest.raises(UserError, match="Squared: __call__ returns float64 for float32; keep the dtype"):
        check_distance(Squared("dtype"))


@pytest.mark.parametrize("metric", [Squared(), lk.Euclidean(), lk.Cosine()], ids=str)
def test_a_right_metric_passes(metric):
    found = check_distance(metric)
    assert found.problem is None
    assert found.points > 40
    assert as_json(found)["formula"] == str(metric)


def test_the_leaky_distance_is_looked_at_as_a_restriction():
    found = check_distance(lk.LeakySquaredEuclidean(threshold=3, slope=0.5))
    assert found.problem is None
    assert [(kink.at, kink.left, kink.right, kink.named) for kink in found.kinks] == [(3, 1, 0.5, True)]
    assert {error.dtype for error in found.errors} == {"float32", "float64"}


@given(st.sampled_from(["exp", "log1p", "sqrt", "tanh", "abs"]), st.floats(0.01, 4))
@settings(max_examples=10)
def test_the_50_digit_functions_are_numpys(name, value):
    from leakysm.verify.exact_namespace import ExactNamespace
    from leakysm.verify.precise import arithmetic, exact, rounded

    with arithmetic():
        found = rounded(getattr(ExactNamespace(), name)(exact([value])))
    np.testing.assert_allclose(found, getattr(np, name)([value]), rtol=1e-14)


def test_a_method_without_xp_is_told_how_to_write_it() -> None:
    class NoLibrary(lk.Restriction):
        def value(self, d):
            return d

        def derivative(self, xp, d):
            return xp.ones_like(d)

    with pytest.raises(UserError, match=r"write def value\(self, xp, d\): xp is the array library \(docs/guides/"):
        check_restriction(NoLibrary())


@pytest.mark.parametrize(
    ("kinks", "told"),
    [
        (10.0, "kinks of Own scale=1.0 is 10.0; a tuple is expected: write @property above def kinks(self)"),
        (lambda self: (1.0,), "kinks of Own scale=1.0 is a method; a tuple is expected: write @property above"),
        (property(lambda self: 1 / 0), "kinks of Own scale=1.0 raises ZeroDivisionError: division by zero; correct it"),
        ((float("nan"),), "kinks of Own scale=1.0 holds nan; 0 <= kink <= inf is expected"),
        ((10.0, -1.0), "kinks of Own scale=1.0 holds -1.0; 0 <= kink <= inf is expected"),
        (("t",), "kinks of Own scale=1.0 holds 't'; 0 <= kink <= inf is expected"),
    ],
)
def test_kinks_that_are_no_distances_are_refused(kinks, told):
    kind = type("Own", (lk.Log,), {"kinks": kinks})
    with pytest.raises(UserError) as caught:
        check_restriction(kind())
    assert told in str(caught.value)


def test_what_loses_its_digits_or_is_no_array_is_said_in_words() -> None:
    class Cancelling(lk.Restriction):
        delta: float = 1.0

        def value(self, xp, d):
            return self.delta * (xp.sqrt(1 + 2 * d / self.delta) - 1)

        def derivative(self, xp, d):
            return 1 / xp.sqrt(1 + 2 * d / self.delta)

    class Constant(Cancelling):
        def derivative(self, xp, d):
            return 2

    told = formula_report.unbounded(check_restriction(Cancelling()))
    assert [line.partition(" loses its digits")[0] for line in told] == [
        "none: the value in float32",
        "none: the value in float64",
    ]
    with pytest.raises(UserError, match=r"derivative returns a value of type int; an array of shape \(\d+,\) is"):
        check_restriction(Constant())
    assert "the value of Cancelling delta=-1.0 is nan at d = 1; " in str(check_restriction(Cancelling(-1.0)).problem)


def test_a_value_that_is_nan_at_an_infinite_distance_is_told() -> None:
    class Rational(lk.Restriction):
        def value(self, xp, d):
            return d / (1 + d)

        def derivative(self, xp, d):
            return 1 / (1 + d) ** 2

    assert any(line.startswith("infinity ") for line in lines(check_restriction(Rational())))
    assert not any(line.startswith("infinity ") for line in lines(check_restriction(lk.Root())))
