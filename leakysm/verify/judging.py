"""Judge results: every element of every output by its bound, and by its own open choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact, Floats, Order, Precision, errors, roundings, tolerance
from leakysm.verify.registry import Truth


@dataclass(frozen=True, eq=False)
class Verdict:
    """One output: error / bound and error / (eps scale) of every element, and the number that could not be judged.

    flushed: it is right only if subnormal inputs are taken for 0.
    """

    exact: Exact
    ratio: Floats
    roundings: Floats
    not_judged: int = 0
    flushed: bool = False


def judged(
    truth: Truth, part: str, precision: Precision, results: Sequence[Any], order: Order, *, left: bool = False
) -> list[Verdict]:
    """One verdict for each output ("value") or gradient ("vjp"). results: host float arrays of the exact shapes.

    order: "ours" holds them to the order of summation that this package promises, and to subnormal inputs as they are.
    left: the derivative at a distance exactly at the threshold must be the left one.
    """
    truth = truth.with_rounded_parameters(precision)
    verdicts = _against(truth, part, precision, results, order)
    if part == "vjp" and not (left and "kink" in truth.case.flags):
        verdicts = _with_choices(truth, precision, results, order, verdicts)
    if order == "any" and any(_fails(verdict) for verdict in verdicts):
        verdicts = _with_flushed_inputs(truth, part, precision, results, verdicts)
    return verdicts


def _fails(verdict: Verdict) -> bool:
    return not verdict.ratio.max(initial=0) <= 1


def _factors(truth: Truth, part: str, precision: Precision, order: Order) -> list[float]:
    names = truth.entry.definition.outputs if part == "value" else truth.entry.gradients
    severity = truth.severity(precision, order)
    return [truth.factor(name, severity) for name in names]


def _against(truth: Truth, part: str, precision: Precision, results: Sequence[Any], order: Order) -> list[Verdict]:
    gradient = part == "vjp"
    exacts = truth.vjp if gradient else truth.value
    if order == "any":
        exacts = tuple(exact.for_others(precision) for exact in exacts)
    rows = zip(results, exacts, _factors(truth, part, precision, order), strict=True)
    verdicts = [
        Verdict(exact, errors(result, exact, k, precision, gradient=gradient), roundings(result, exact, precision))
        for result, exact, k in rows
    ]
    return verdicts if order == "ours" else [_free_where_undefined(verdict) for verdict in verdicts]


def _free_where_undefined(verdict: Verdict) -> Verdict:
    """Elements whose exact value is NaN may be anything: only this package promises what undefined rows give."""
    undefined = np.isnan(verdict.exact.high)
    return replace(verdict, ratio=np.where(undefined, 0.0, verdict.ratio)) if undefined.any() else verdict


def _with_choices(
    truth: Truth, precision: Precision, results: Sequence[Any], order: Order, verdicts: list[Verdict]
) -> list[Verdict]:
    """Elements beyond their bound are compared with what their own open choices allow."""
    if not any(_fails(verdict) for verdict in verdicts):
        return verdicts
    opens = truth.open_gradients(precision, order)
    if opens is None:
        return [_not_judged(verdict) for verdict in verdicts]
    factors = _factors(truth, "vjp", precision, order)
    rows = zip(results, verdicts, opens, factors, strict=True)
    return [
        verdict if choices is None else _nearest(result, verdict, choices, k, precision)
        for result, verdict, choices, k in rows
    ]


def _not_judged(verdict: Verdict) -> Verdict:
    beyond = ~(verdict.ratio <= 1)
    return Verdict(verdict.exact, np.where(beyond, 0.0, verdict.ratio), verdict.roundings, int(beyond.sum()))


def _nearest(result: Any, verdict: Verdict, choices: Any, k: float, precision: Precision) -> Verdict:
    values = np.asarray(verdict.exact.pick(result), dtype=np.float64)
    exact = verdict.exact
    wider = replace(Exact.of_floats(exact.high, choices.scale, exact.under, exact.reach), more=exact.more)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        ratio = choices.distance(values) / tolerance(wider, k, precision)
    ratio = np.where(np.isfinite(values) & ~np.isnan(ratio), ratio, np.inf)
    return Verdict(exact, np.minimum(ratio, verdict.ratio), verdict.roundings)


def _with_flushed_inputs(
    truth: Truth, part: str, precision: Precision, results: Sequence[Any], verdicts: list[Verdict]
) -> list[Verdict]:
    """Outputs beyond their bound are compared with the truth for subnormal inputs taken for 0."""
    other = truth.with_subnormals_flushed(precision)
    if other is None:
        return verdicts
    flushed = _against(other, part, precision, results, "any")
    rows = zip(verdicts, flushed, strict=True)
    return [_flushed(v, g) if _fails(v) else v for v, g in rows]


def _flushed(verdict: Verdict, other: Verdict) -> Verdict:
    """Right if each element is right with or without flushed inputs; otherwise the verdict stays."""
    either = Verdict(other.exact, np.minimum(verdict.ratio, other.ratio), other.roundings, flushed=True)
    return verdict if _fails(either) else either
