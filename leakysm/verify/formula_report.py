"""The results of checking a user's distance, as lines, rows and plain values for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from leakysm.ops.metrics import LeakySquaredEuclidean, Metric, RestrictedSquaredEuclidean
from leakysm.ops.restriction import Leak
from leakysm.verify.formula import EXACT, Findings, Kink, check_restriction
from leakysm.verify.own_metric import check_metric

ERROR_HEADER = ("error of", "dtype", "largest, in eps", "at d", "proposed bound, in eps")


def check_distance(metric: Metric, *, thorough: bool = True) -> Findings:
    """What is found of a restriction, or of a whole metric. thorough: check more than the derivative."""
    if isinstance(metric, LeakySquaredEuclidean):
        return check_restriction(Leak(metric.threshold, metric.slope), thorough=thorough)
    if isinstance(metric, RestrictedSquaredEuclidean):
        return check_restriction(metric.restriction, thorough=thorough)
    return check_metric(metric)


def lines(findings: Findings) -> list[str]:
    """What was found, a line each; the counterexample last."""
    if findings.problem:
        return [findings.formula, findings.problem]
    where = "distances" if findings.restriction else "coordinates"
    told = [findings.formula, f"derivative  right at {findings.points} {where}, by differences in {findings.digits}"]
    if not findings.restriction:
        return [*told, f"direction   {direction(findings)}"]
    if findings.digits != EXACT.name:
        told.append("            (value or derivative uses more than functions of xp: errors are not measured)")
    told += [f"kink        {_kink(kink)}" for kink in findings.kinks] or ["kinks       none"]
    told.append(f"direction   {direction(findings)}")
    if findings.nan_at_infinity:
        told.append("infinity    the value is nan: a distance that overflows spoils its query's probabilities")
    return told


def direction(findings: Findings) -> str:
    """Whether a formula rises, or a metric finds points that coincide nearest, and what it means if not."""
    if findings.nearer is not None:
        return f"not that of a distance: {findings.nearer}, and a class that is farther away may win"
    if findings.falls is not None:
        return f"falls, e.g. at d = {findings.falls:.10g}: a class that is farther away may win"
    if findings.flat is not None:
        return (
            f"does not rise, e.g. at d = {findings.flat:.10g}: it cannot tell classes apart, and has no gradient there"
        )
    return "rises everywhere" if findings.restriction else "points that coincide are nearest"


def _kink(kink: Kink) -> str:
    named = "named in kinks" if kink.named else "not named in kinks: add it there"
    return f"at d = {kink.at:.10g}: slope {kink.left:g} on the left, {kink.right:g} on the right; {named}"


def error_rows(findings: Findings) -> list[tuple[str, ...]]:
    """Rows below ERROR_HEADER."""
    return [
        (e.what, e.dtype, f"{e.eps:.2f}", f"{e.at:.4g}", "none" if e.bound is None else str(e.bound))
        for e in findings.errors
    ]


def unbounded(findings: Findings) -> list[str]:
    """A line for each error that is too large for a bound."""
    return [
        f"none: the {e.what} in {e.dtype} loses its digits, e.g. at d = {e.at:.4g}; "
        "it probably subtracts numbers that are nearly equal: rewrite it"
        for e in findings.errors
        if e.bound is None
    ]


def as_json(findings: Findings) -> dict[str, Any]:
    """Plain values by name."""
    named = {"kinks": [kink._asdict() for kink in findings.kinks], "errors": [e._asdict() for e in findings.errors]}
    return asdict(findings) | named
