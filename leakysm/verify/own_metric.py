"""Somebody's own metric, d(x, c), looked at without a formula of ours: its vjp against numerical differentiation.

Five-point differences, f'(0) ~ (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12 h, one coordinate after the other: in 50
digits where the metric takes arrays of such numbers, else in float64. A coordinate whose differences with h and 2h
disagree lies near a kink and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from leakysm.ops.metrics import Metric
from leakysm.verify.cases.numbers import noise
from leakysm.verify.differences import five_points
from leakysm.verify.formula import Findings
from leakysm.verify.precise import arithmetic, exact, rounded

SIZES = ((1, 1, 1), (1, 2, 2), (3, 2, 3))  # N, M, D
STEPS = {"50 digits": 2.0**-30, "float64": 2.0**-10}
TOLERANCE = 1e-6


def check_metric(metric: Metric) -> Findings:
    """The findings about a user's metric: shapes, dtypes, and the gradients of x and c."""
    findings = Findings(str(metric), restriction=False)
    with arithmetic(), np.errstate(all="ignore"):
        findings.digits = _digits(metric)
        for x, c, dy in _calls():
            findings.problem = _manners(metric, x, c, dy) or _gradients(metric, findings, x, c, dy)
            if findings.problem:
                break
            findings.nearer = findings.nearer or _nearer(metric, x, c)
    return findings


def _calls() -> Iterator[tuple[Any, Any, Any]]:
    """x (N, D), c (M, D), dy (N, M): the simplest first, near and far points."""
    yield np.array([[2.0]]), np.array([[1.0]]), np.array([[1.0]])
    for number, (n, m, width) in enumerate(SIZES):
        for size in (1.0, 8.0):
            name = f"own metric {number} {size}"
            yield size * noise(name, n, width), size * noise(name + " c", m, width), noise(name + " dy", n, m)


def _digits(metric: Metric) -> str:
    """The arithmetic that the metric can be computed in."""
    x, c, _ = next(_calls())
    try:
        return "50 digits" if np.asarray(metric(exact(x), exact(c))).dtype == object else "float64"
    except Exception:  # also a built-in metric's, which refuses such numbers
        return "float64"


def _manners(metric: Metric, x: Any, c: Any, dy: Any) -> str | None:
    """The problem, if a result is not finite or an argument was changed; else None."""
    for dtype in ("float64", "float32"):
        given = [np.array(a, dtype) for a in (x, c, dy)]
        before = [a.copy() for a in given]
        y, gradients = metric(*given[:2]), metric.vjp(*given)
        for name, array in (("distances", y), ("dx", gradients[0]), ("dc", gradients[1])):
            if not np.isfinite(array).all():
                return f"{name} of {metric} is not finite in {dtype} for {_shown(x, c, dy)}"
        if not all(np.array_equal(a, b) for a, b in zip(given, before, strict=True)):
            return f"{metric} changes its arguments; compute new arrays"
    together = metric.vjp(x, np.repeat(x[:1], len(c), axis=0), dy)
    if not all(np.isfinite(gradient).all() for gradient in together):
        return f"the vjp of {metric} is not finite where points coincide, for {_shown(x, x[:1], dy)}"
    return None


def _nearer(metric: Metric, x: Any, c: Any) -> str | None:
    """A point of c that is nearer to a point of x than that point itself; None if there is none."""
    for one in x:
        distances, itself = metric(one[None], c)[0], float(metric(one[None], one[None])[0, 0])
        nearest = int(np.argmin(distances))
        if float(distances[nearest]) < itself - TOLERANCE * max(abs(itself), float(np.abs(distances).max())):
            there = f"from x = {one.tolist()} to itself is {itself:.10g}, to c = {c[nearest].tolist()} it is"
            return f"the distance {there} {float(distances[nearest]):.10g}"
    return None


def _gradients(metric: Metric, findings: Findings, x: Any, c: Any, dy: Any) -> str | None:
    """The counterexample to dx or dc; None if there is none."""
    arrays, found = (x, c), metric.vjp(x, c, dy)
    size = max(float(np.abs(metric(x, c)).max()), 1e-30) * float(np.abs(dy).sum()) / float(np.abs(x).max())
    for place, name in enumerate(("dx", "dc")):
        for at in np.ndindex(arrays[place].shape):
            slope = _slope(metric, findings.digits, arrays, dy, place, at)
            if slope is None:
                continue
            findings.points += 1
            given = float(found[place][at])
            if not abs(given - slope) <= TOLERANCE * max(abs(given), abs(slope), size):
                return (
                    f"the vjp of {metric} is wrong: for {_shown(x, c, dy)}, {name}{list(at)} is {given:.10g}, but the "
                    f"slope of the distances is {slope:.10g}"
                )
    return None


def _slope(metric: Metric, digits: str, arrays: tuple[Any, Any], dy: Any, place: int, at: Any) -> float | None:
    """d(sum of dy times distances) / d(one coordinate); None near a kink."""
    number = exact if digits == "50 digits" else np.asarray
    h = STEPS[digits] * max(abs(float(arrays[place][at])), 0.125)

    def moved(by: float) -> Any:
        changed = [number(a).copy() for a in arrays]
        changed[place][at] = changed[place][at] + by
        return (metric(*changed) * number(dy)).sum()

    def differences(step: float) -> Any:
        return five_points({m: moved(m * step) for m in (-2, -1, 1, 2)}, step)

    fine, coarse = (float(rounded(np.asarray(differences(step)))) for step in (h, 2 * h))
    return fine if abs(fine - coarse) <= TOLERANCE / 8 * max(abs(fine), abs(coarse), 1e-9) else None


def _shown(x: Any, c: Any, dy: Any) -> str:
    """The arrays as Python writes them; long ones by their shapes."""
    if x.size > 4:
        return f"x {x.shape}, c {c.shape}, dy {dy.shape}"
    return f"x = {x.tolist()}, c = {c.tolist()}, dy = {dy.tolist()}"
