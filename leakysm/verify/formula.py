"""Check a user's restriction r(d) by its own values: derivative, kinks, direction and error.

The value is computed in 50 digits (`exact_namespace`) and differentiated numerically, from each side:

    slope from the left   (3 r(d) - 4 r(d - h) + r(d - 2h)) / 2h,  h = d 2^-24; from the right likewise

The truncation is of the size of h^2. With a smaller h, the rounding of parameters, which are float64, would matter. A
formula that uses other functions than those of `xp` is computed in float64, with h = d 2^-17: about 8 digits.
A kink is where the two slopes differ. Between two distances it is looked for by bisection, always in the half in which
the slope changes more, or the value jumps.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from leakysm.errors import UserError, described
from leakysm.ops.arrays import number
from leakysm.ops.own_code import OwnCodeError
from leakysm.ops.restriction import Restriction
from leakysm.verify.exact_namespace import ExactNamespace
from leakysm.verify.precise import arithmetic, exact, rounded

Function = Callable[[Any, Any], Any]
SIMPLE = (1.0, 2.0, 0.5, 4.0, 0.25, 10.0, 0.1, 100.0, 0.01, 1000.0, 0.001)  # distances of a counterexample
GRID = np.geomspace(1e-6, 1e6, 97)
ERRORS = np.geomspace(1e-6, 1e6, 1200)  # where rounding errors are measured
BOUNDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256)


class Digits(NamedTuple):
    """The arithmetic that slopes are computed in, the step h / d, and how far a right derivative may be off."""

    name: str
    step: float
    tolerance: float


EXACT, FLOAT64 = Digits("50 digits", 2.0**-24, 1e-7), Digits("float64", 2.0**-17, 1e-6)


class Kink(NamedTuple):
    """A distance where the slope jumps, the slopes on both sides, and whether the formula names it."""

    at: float
    left: float
    right: float
    named: bool


class Error(NamedTuple):
    """The largest error of value or derivative in a dtype, relative, in eps; where it is; and a bound above it."""

    what: str
    dtype: str
    eps: float
    at: float
    bound: int | None


@dataclass
class Findings:
    """What was found of a formula. digits: the arithmetic of its derivatives. points: how many places were looked at:
    distances for a restriction, coordinates for a whole metric.

    falls, flat: the smallest distances at which it falls, and at which its derivative is 0. nan_at_infinity: whether
    its value is NaN there. nearer: for a whole metric, a point that is nearer than the point itself.
    problem: the counterexample to its derivative, None if it is right.
    """

    formula: str
    digits: str = ""
    points: int = 0
    kinks: list[Kink] = field(default_factory=list)
    restriction: bool = True
    falls: float | None = None
    flat: float | None = None
    nan_at_infinity: bool = False
    nearer: str | None = None
    errors: list[Error] = field(default_factory=list)
    problem: str | None = None


class _WrongError(Exception):
    """A counterexample, in words."""


def check_restriction(restriction: Restriction, *, thorough: bool = True) -> Findings:
    """What is found of a restriction. thorough: also look for kinks and rounding errors, a second."""
    _require_usable(restriction)
    findings = Findings(str(restriction))
    try:
        with arithmetic(), np.errstate(all="ignore"):
            look = _Look(restriction)
            findings.digits = look.digits.name
            points = look.points()
            findings.points = len(points)
            left, right, given = look.slopes(points)
            look.require_derivative(points, left, right, given)
            look.require_finite(points)
            if thorough:
                findings.kinks = look.kinks(points)
                findings.nan_at_infinity = bool(np.isnan(restriction.value(np, np.array([np.inf]))).any())
            falling = points[rounded(left) < -look.digits.tolerance * np.abs(rounded(look.scale(points, left, given)))]
            flat = points[rounded(given) == 0]
            findings.falls, findings.flat = (float(at.min()) if len(at) else None for at in (falling, flat))
            if thorough and look.digits is EXACT:
                findings.errors = look.errors()
    except _WrongError as wrong:
        findings.problem = str(wrong)
    return findings


def _require_usable(restriction: Restriction) -> None:
    """UserError unless both methods take (xp, d), and the kinks are distances."""
    for name in ("value", "derivative"):
        try:
            inspect.signature(getattr(restriction, name)).bind("xp", "d")
        except TypeError:
            mend = f"write def {name}(self, xp, d): xp is the array library (docs/guides/own-formula.md)"
            raise UserError(f"{name} of {restriction} does not take (xp, d); {mend}") from None
        given = np.array([0.5, 2.0])
        with np.errstate(all="ignore"):
            getattr(restriction, name)(np, given)
        if given.tolist() != [0.5, 2.0]:
            raise UserError(f"{name} of {restriction} changes its argument d; compute a new array")
    try:
        kinks = restriction.kinks
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UserError(f"kinks of {restriction} raises {described(error)}; correct it") from error
    if not isinstance(kinks, Iterable):
        found = "is a method" if callable(kinks) else f"is {kinks!r}"
        mend = "a tuple is expected: write @property above def kinks(self), and return e.g. (self.threshold,)"
        raise UserError(f"kinks of {restriction} {found}; {mend}")
    for kink in kinks:
        if not number("kinks", kink, "0 <= kink <= inf") >= 0:  # NaN too
            raise UserError(f"kinks of {restriction} holds {kink!r}; 0 <= kink <= inf is expected: give distances")


class _Look:
    """A restriction, and the arithmetic that its value can be computed in."""

    def __init__(self, restriction: Restriction) -> None:
        self.restriction, self.digits = restriction, EXACT
        try:
            self.value(exact(SIMPLE)), self.derivative(exact(SIMPLE))
        except OwnCodeError:
            self.digits = FLOAT64

    def value(self, d: Any) -> Any:
        return self._computed(self.restriction.value, d)

    def derivative(self, d: Any) -> Any:
        return self._computed(self.restriction.derivative, d)

    def _computed(self, function: Function, d: Any) -> Any:
        """function of the distances, as 50-digit numbers."""
        if self.digits is EXACT:
            return exact(function(ExactNamespace(), d))
        return exact(function(np, rounded(d)))

    def points(self) -> Any:
        """The distances to look at, the simplest first: around the kinks and the parameters too."""
        numbers = [v for v in self.restriction.parameters.values() if isinstance(v, float | int)]
        own = [m * float(abs(v)) for v in (*self.restriction.kinks, *numbers) for m in (1.0, 0.5, 2.0)]
        usable = [v for v in (*SIMPLE, *own, *GRID) if 1e-30 < v < 1e30]
        return np.array(list(dict.fromkeys(usable)))

    def sides(self, d: Any) -> tuple[Any, Any]:
        """The slopes from the left and from the right at these distances (numbers of 50 digits)."""
        h = d * exact(self.digits.step)
        here, (a, b), (p, q) = self.value(d), *([self.value(d + s * k * h) for k in (1, 2)] for s in (-1, 1))
        return (3 * here - 4 * a + b) / (2 * h), (4 * p - q - 3 * here) / (2 * h)

    def slopes(self, points: Any) -> tuple[Any, Any, Any]:
        d = exact(points)
        return *self.sides(d), self.derivative(d)

    def scale(self, points: Any, *slopes: Any) -> Any:
        """The size of what a slope is made of: the slopes, and r(d) / d."""
        sizes = [abs(slope) for slope in slopes]
        return np.maximum.reduce([*sizes, abs(self.value(exact(points))) / exact(points)])

    def require_derivative(self, points: Any, left: Any, right: Any, given: Any) -> None:
        """_WrongError for the first distance at which the derivative is not the slope from the left."""
        scale = self.scale(points, left, given)
        off = abs(given - left) > self.digits.tolerance * scale + 1e-12 * scale.max()
        # float64 cannot tell a slope where the formula bends within a step
        bends = abs(right - left) > self.digits.tolerance * self.scale(points, left, right)
        off = off & ~bends if self.digits is FLOAT64 else off
        off = np.asarray(off, dtype=bool) | ~np.isfinite(rounded(given))
        for d, slope, other, found in zip(points[off], left[off], right[off], given[off], strict=True):
            value = float(self.value(exact([d]))[0])
            if not np.isfinite(value):
                mend = "if a parameter is the cause, state its range in `ranges`"
                raise _WrongError(f"the value of {self.restriction} is {value:g} at d = {d:.10g}; {mend}")
            kink = (
                f" from the left, {float(other):.10g} from the right" if abs(other - slope) > abs(slope) / 1e6 else ""
            )
            raise _WrongError(
                f"the derivative of {self.restriction} is wrong: at d = {d:.10g}, where the value is {value:.10g}, it "
                f"gives {float(found):.10g}, but the slope of the value is {float(slope):.10g}{kink}; "
                "correct one of them"
            )

    def require_finite(self, points: Any) -> None:
        """_WrongError unless value and derivative are finite numbers in float32 and float64, at distance 0 too."""
        for dtype in (np.float64, np.float32):
            d = np.array([0.0, *points], dtype)
            for name in ("value", "derivative"):
                found = np.asarray(getattr(self.restriction, name)(np, d))
                for at, one in zip(d[~np.isfinite(found)], found[~np.isfinite(found)], strict=True):
                    zero = ", the distance of points that coincide" if at == 0 else ""
                    raise _WrongError(
                        f"the {name} of {self.restriction} in {d.dtype} is {one:g} at d = {at:.10g}{zero}"
                    )

    def kinks(self, points: Any) -> list[Kink]:
        """The kinks between the smallest and the largest of the distances. _WrongError where the value itself jumps."""
        step = self.digits.step
        low, high = self._brackets(np.sort(points))
        # The intervals are made wider than the differences reach, then eight times as wide again: there a smooth slope
        # changes eight times as much, while the jump at a kink stays the same.
        low, left, high, right = self._ends(low, high, 8 * step)
        _, before, _, after = self._ends(low, high, 64 * step)
        scale = self.scale(rounded(high), left, right)
        jumps = abs(self.value(high) - self.value(low)) > 100 * step * high * scale
        bends = (abs(right - left) > 200 * step * scale) & (2 * abs(right - left) > abs(after - before))
        found: dict[float, Kink] = {}
        for i in np.flatnonzero(np.asarray(jumps | bends, dtype=bool)):
            at = self._simplest(float(low[i]), float(high[i]))
            if jumps[i]:
                raise _WrongError(
                    f"the value of {self.restriction} jumps at d = {at:.10g}, so it has no derivative there"
                )
            named = any(abs(at - kink) <= 1e-9 * at for kink in self.restriction.kinks)
            found.setdefault(at, Kink(at, float(f"{float(left[i]):.6g}"), float(f"{float(right[i]):.6g}"), named))
        return list(found.values())

    def _ends(self, low: Any, high: Any, by: float) -> tuple[Any, Any, Any, Any]:
        """The intervals, each end moved out by this part of it, and the slopes: low, its left, high, its right."""
        low, high = low * (1 - exact(by)), high * (1 + exact(by))
        return low, self.sides(low)[0], high, self.sides(high)[1]

    def _brackets(self, points: Any) -> tuple[Any, Any]:
        """(low, high) close together, of each interval: around the place where slope or value change most."""
        low, high = exact(points[:-1]), exact(points[1:])
        at_low, at_high = self.sides(low)[0], self.sides(high)[1]
        while ((high - low) > low * exact(4 * self.digits.step)).any():
            middle = (low + high) / 2
            left, right = self.sides(middle)
            below = abs(left - at_low) + self._off(low, middle, at_low, left)
            above = abs(at_high - right) + self._off(middle, high, right, at_high)
            lower = np.asarray(below + abs(right - left) >= above, dtype=bool)
            low, at_low = np.where(lower, low, middle), np.where(lower, at_low, right)
            high, at_high = np.where(lower, middle, high), np.where(lower, right, at_high)
        return low, high

    def _off(self, low: Any, high: Any, at_low: Any, at_high: Any) -> Any:
        """How far the mean slope of each interval is from that of its ends: a jump of the value makes it large."""
        return abs((self.value(high) - self.value(low)) / (high - low) - (at_low + at_high) / 2)

    def _simplest(self, low: float, high: float) -> float:
        """The kink or parameter that lies there, or else a float."""
        known = [*self.restriction.kinks, *self.restriction.parameters.values()]
        numbers = [float(v) for v in known if isinstance(v, float | int)]
        return next((v for v in numbers if low <= v <= high), float(f"{(low + high) / 2:.6g}"))

    def errors(self) -> list[Error]:
        """The largest errors of value and derivative, in float32 and float64."""
        pairs: Sequence[tuple[str, Function]] = (
            ("value", self.restriction.value),
            ("derivative", self.restriction.derivative),
        )
        return [self._error(name, function, dtype) for name, function in pairs for dtype in ("float32", "float64")]

    def _error(self, name: str, function: Function, dtype: str) -> Error:
        d = ERRORS.astype(dtype)
        kinks = np.array(self.restriction.kinks, dtype)
        d = d[~np.isin(d, kinks)]
        computed, truth = np.asarray(function(np, d)), self._computed(function, exact(d))
        eps, least = float(np.finfo(dtype).eps), float(np.finfo(dtype).smallest_normal) * 2.0**12
        size = np.maximum(abs(truth), exact(least))  # numbers that underflow have no relative accuracy
        relative = np.where(np.isfinite(computed), rounded(abs(exact(computed) - truth) / size), np.inf) / eps
        worst = int(np.argmax(relative))
        bound = next((k for k in BOUNDS if k >= 1.5 * relative[worst]), None)
        return Error(name, dtype, float(relative[worst]), float(d[worst]), bound)
