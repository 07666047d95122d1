"""Gradients without the oracle's formulas: numerical derivatives in float64, and the laws that every vjp obeys.

Five-point differences: f'(0) ~ (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / (12 h). Their error is bounded by 1.5 / h times
that of f: its own bound, the rounding of the sum, and the rounding of x + h v, which the gradient carries on; plus the
truncation, estimated by the change from step 2h to step h with a margin of 15.
Where a discrete choice (mask, argmax) differs between the five points there is a kink between them: the step is
made smaller, and a direction that still crosses one is left out and counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from leakysm.verify.adapters.implementation import Implementation
from leakysm.verify.bounds import Precision, tolerance
from leakysm.verify.case import Case
from leakysm.verify.cases.numbers import noise
from leakysm.verify.differences import five_points
from leakysm.verify.registry import Entry, Truth

STEPS = (1e-3, 1e-4, 1e-5)
MOST_JACOBIAN_NUMBERS = 200
_FLOAT64 = Precision("float64")
_Kinks = dict[str, Any]


@dataclass
class Checks:
    """How much was checked of one operation, what crossed a kink, the largest error / bound, and the problems."""

    operation: str
    directions: int = 0
    entries: int = 0
    laws: int = 0
    crossed: int = 0
    worst: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def result(self) -> str:
        """passed or failed."""
        return "failed" if self.problems else "passed"


def check_gradients(implementation: Implementation, entry: Entry) -> Checks:
    """Directional derivatives of every plain or wide case, the full Jacobian of the smallest, and the laws of all."""
    checks = Checks(entry.operation)
    truths = [t for t in entry.truths if "float64" in t.case.dtypes and t.case.stored and not t.case.own]
    ordinary = [t for t in truths if {"plain", "wide"} & set(t.case.flags)]
    try:
        for truth in ordinary:
            _check_directions(implementation, truth, checks)
        _check_jacobian(implementation, min(ordinary, key=lambda t: t.case.size, default=None), checks)
        for truth in truths:
            _check_laws(implementation, truth, checks)
    except Exception as problem:  # whatever an implementation raises is a finding
        checks.problems.append(f"raised {type(problem).__name__}: {problem}")
    return checks


class _Call:
    """A case's float arrays as one tuple, and the operation as a function of them."""

    def __init__(self, implementation: Implementation, truth: Truth):
        self.implementation, self.truth, self.case = implementation, truth, truth.case
        self.places = truth.entry.definition.array_places
        self.arrays = [np.array(truth.case.arguments[i], dtype=np.float64) for i in self.places]

    def arguments(self, arrays: Sequence[Any]) -> list[Any]:
        full = list(self.case.arguments)
        for place, array in zip(self.places, arrays, strict=True):
            full[place] = array
        return full

    def value(self, arrays: Sequence[Any]) -> Any:
        return self.implementation.value(self.case.operation, self.arguments(arrays), self.case.parameters)[0]

    def vjp(self, dy: Any) -> tuple[Any, ...]:
        dy = np.asarray(dy, dtype=np.float64)
        return self.implementation.vjp(self.case.operation, self.arguments(self.arrays), dy, self.case.parameters)

    def kinks(self, arrays: Sequence[Any]) -> _Kinks:
        choose = self.truth.entry.definition.kinks
        return {} if choose is None else choose(*self.arguments(arrays), **self.case.parameters)

    def moved(self, directions: Sequence[Any], by: float) -> list[Any]:
        return [a + by * v for a, v in zip(self.arrays, directions, strict=True)]


def _derivative(call: _Call, directions: Sequence[Any], h: float) -> tuple[Any, Any] | None:
    """dy/dh along the directions and its truncation error; None if a discrete choice changes on the way."""
    points = {m: call.moved(directions, m * h) for m in (-4, -2, -1, 1, 2, 4)}
    here = call.kinks(call.arrays)
    if any(not _same(here, call.kinks(p)) for p in points.values()):
        return None
    f = {m: call.value(p) for m, p in points.items()}
    fine, coarse = five_points(f, h), five_points({m: f[2 * m] for m in (-2, -1, 1, 2)}, 2 * h)
    return fine, np.abs(fine - coarse)


def _same(a: _Kinks, b: _Kinks) -> bool:
    return all(np.array_equal(np.asarray(a[key]), np.asarray(b[key])) for key in a)


def _first_smooth(call: _Call, directions: Sequence[Any]) -> tuple[Any, Any, float] | None:
    for h in STEPS:
        derivative = _derivative(call, directions, h)
        if derivative is not None:
            return (*derivative, h)
    return None


def _check_directions(implementation: Implementation, truth: Truth, checks: Checks) -> None:
    """One random signed direction for each argument, and a joint one, against the vjp for the case's cotangent."""
    call = _Call(implementation, truth)
    gradients = call.vjp(truth.case.dy)
    slack = [_vjp_tolerance(truth, i) for i in range(len(gradients))]
    randoms = [noise(f"{truth.case.id} direction {i}", *a.shape, bits=53) for i, a in enumerate(call.arrays)]
    single = [[v if i == j else 0 * v for j, v in enumerate(randoms)] for i in range(len(randoms))]
    for directions in (*single, randoms):
        derivative = _first_smooth(call, directions)
        if derivative is None:
            checks.crossed += 1
            continue
        slope, truncation, h = derivative
        weight = np.abs(truth.case.dy)
        bound = _total(weight * (truncation + 1.5 / h * _value_tolerance(truth)))
        bound += 1.5 / h * _FLOAT64.eps * _total(*(np.abs(g * a) for g, a in zip(gradients, call.arrays, strict=True)))
        bound += _total(*(np.abs(v) * s for v, s in zip(directions, slack, strict=True)))
        expected = _total(truth.case.dy * slope)
        got = _total(*(g * v for g, v in zip(gradients, directions, strict=True)))
        checks.directions += 1
        _note(checks, truth.case, "directional derivative", abs(got - expected), bound)


def _value_tolerance(truth: Truth) -> Any:
    """The bound of a value, and two roundings for the sum of the five."""
    truth_y = truth.value[0]
    return tolerance(truth_y, _k(truth, "y"), _FLOAT64) + 2 * _FLOAT64.eps * np.abs(truth_y.high)


def _vjp_tolerance(truth: Truth, i: int) -> Any:
    return tolerance(truth.vjp[i], _k(truth, truth.entry.gradients[i]), _FLOAT64)


def _k(truth: Truth, output: str) -> float:
    return truth.factor(output, truth.severity(_FLOAT64, "ours"))


def _total(*parts: Any) -> float:
    return math.fsum(value for part in parts for value in np.ravel(part).tolist())


def _note(checks: Checks, case: Case, what: str, error: float, bound: float) -> None:
    ratio = error / bound if bound else math.inf * error if error else 0.0
    checks.worst = max(checks.worst, ratio)
    if not ratio <= 1:
        checks.problems.append(f"{case.id}: the {what} is off by {error:.3g}, {ratio:.3g} times its bound")


def _check_jacobian(implementation: Implementation, truth: Truth | None, checks: Checks) -> None:
    """Every entry of the Jacobian: rows by the vjp of unit cotangents, columns by numerical derivatives."""
    if truth is None or truth.case.size > MOST_JACOBIAN_NUMBERS:
        return
    call, value_slack = _Call(implementation, truth), _value_tolerance(truth)
    rows = [_unit_vjp(call, unit) for unit in _units(truth.value[0].shape)]
    for i, array in enumerate(call.arrays):
        for k, unit in enumerate(_units(array.shape)):
            derivative = _first_smooth(call, [unit if i == j else 0 * a for j, a in enumerate(call.arrays)])
            if derivative is None:
                checks.crossed += 1
                continue
            slope, truncation, h = (np.ravel(part) for part in derivative)
            column = np.array([row[0][i].ravel()[k] for row in rows])
            slack = np.array([row[1][i].ravel()[k] for row in rows])
            moved = _FLOAT64.eps * np.abs(column * array.ravel()[k])
            bound = truncation + 1.5 / h * (value_slack.ravel() + moved) + slack
            error = np.abs(column - slope)
            worst = int(np.argmax(error / bound))
            checks.entries += len(column)
            _note(
                checks,
                truth.case,
                f"Jacobian by {truth.entry.gradients[i][1:]}",
                float(error[worst]),
                float(bound[worst]),
            )


def _units(shape: tuple[int, ...]) -> Iterator[Any]:
    for at in np.ndindex(shape):
        unit = np.zeros(shape)
        unit[at] = 1
        yield unit


def _unit_vjp(call: _Call, unit: Any) -> tuple[tuple[Any, ...], list[Any]]:
    """The vjp for one cotangent and the bound of every entry."""
    truth = Truth(call.truth.entry, replace(call.case, dy=unit))
    return call.vjp(unit), [_vjp_tolerance(truth, i) for i in range(len(truth.vjp))]


def _check_laws(implementation: Implementation, truth: Truth, checks: Checks) -> None:
    """A vjp is linear: zero of zero, minus of minus, exactly; of a sum the sum, within the bounds of the three."""
    call, dy = _Call(implementation, truth), np.asarray(truth.case.dy, dtype=np.float64)
    other = noise(truth.case.id + " other", *dy.shape, bits=20)
    first, second, both = call.vjp(dy), call.vjp(other), call.vjp(dy + other)
    finite = [np.isfinite(t.high) & (t.reach <= _FLOAT64.largest) for t in truth.vjp]
    zero, negative = call.vjp(0 * dy), call.vjp(-dy)
    widest = Truth(truth.entry, replace(truth.case, dy=np.abs(dy) + np.abs(other)))
    for i, name in enumerate(truth.entry.gradients):
        good = finite[i]
        laws = {
            "zero for a zero cotangent": not np.any(zero[i][good]),
            "negated for a negated cotangent": np.array_equal(negative[i][good], -first[i][good]),
            "additive in the cotangent": _additive(widest, i, good, first[i] + second[i], both[i]),
        }
        checks.laws += len(laws)
        checks.problems += [f"{truth.case.id}: {name} is not {law}" for law, holds in laws.items() if not holds]


def _additive(widest: Truth, i: int, finite: Any, separate: Any, together: Any) -> bool:
    """|separate - together| within the bounds of the two vjps and that of their sum; widest: for |dy| + |other|."""
    slack = 2 * tolerance(widest.vjp[i], _k(widest, widest.entry.gradients[i]) + 1, _FLOAT64)
    return bool(np.all((np.abs(separate - together) <= slack)[finite]))
