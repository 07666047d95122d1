"""Which claims of the paper's abstract hold for which setting, with an interval over the seeds.

The abstract says of a restricted distance: distances do not explode, gradients are not sparse, the magnitude of
gradients increases, accuracy improves. It does not say which gradients, so all of them are looked at. Each figure of a
setting is compared with the first setting's at the same seed: magnitudes by their ratio, fractions by their difference
in percentage points. Magnitudes and ratios are geometric means over the seeds, fractions arithmetic ones. Intervals:
95 %, Student's t over the seeds. A verdict tells the direction of a change, not whether it is large.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from leakysm.experiments.gradients.measure import Traces
from leakysm.experiments.gradients.observed import Floats
from leakysm.experiments.student import LEAST, paired
from leakysm.tables import columns, markdown_table

YES, IN_PART, OPPOSITE, OPEN, FEW = "yes", "in part", "no, the opposite", "not shown", f"fewer than {LEAST} seeds"
SAME = "the same"
BLOCK = ", block "

IN_BRACKETS = (
    "In brackets: the ratio (x) of geometric means, or the difference in percentage points, with its 95 % interval, "
    "Student's t over the seeds. A verdict tells the direction of a change, not whether it is large"
)


class Figure(NamedTuple):
    """A column of the traces. sign: 1 if the claim says that it grows, -1 if it shrinks, 0 if it is only shown."""

    column: str
    words: str
    sign: int
    part: bool = False  # a fraction, shown in percent


CLAIMS: dict[str, tuple[Figure, ...]] = {
    "distances do not explode": (
        Figure("mean_distance", "mean distance", -1),
        Figure("distance_p99", "99th percentile of the distances", -1),
        Figure("largest_distance", "largest distance", -1),
    ),
    "gradients are not sparse": (
        Figure("vanished_distance_gradients", "vanished entries of dL/dd", -1, part=True),
        Figure("vanished_of_wrong", "vanished entries of queries still wrong", -1, part=True),
        Figure("certain_queries", "(not judged) queries right with certainty", 0, part=True),
    ),
    "the magnitude of gradients increases": (
        Figure("mean_distance_gradient", "mean |dL/dd|", 1),
        Figure("mean_query_gradient", "mean |dL/dz|", 1),
        Figure("weight_gradient_*", f"|dL/dw|{BLOCK}*", 1),
    ),
    "accuracy improves": (Figure("accuracy", "accuracy in training", 1, part=True),),
}


@dataclass(frozen=True)
class Judged:
    """A figure of one setting beside the first setting's.

    baseline, values: of each seed. mean, low, high: the ratio, or the difference in percentage points, and its 95 %
    interval; None where there is none. verdict: "" for a figure that is only shown.
    """

    figure: Figure
    baseline: tuple[float, ...]
    values: tuple[float, ...]
    mean: float | None
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True)
class Verdict:
    """One claim about one setting in one phase of training."""

    phase: str
    setting: str
    claim: str
    verdict: str
    figures: tuple[Judged, ...]


def judge_all(traces: Traces) -> list[Verdict]:
    """Every claim, for each setting but the first, before the first update and over all steps."""
    return [
        _claim(traces, phase, values, setting, claim)
        for phase, values in phases(traces)
        for setting in range(1, len(traces.labels))
        for claim in CLAIMS
    ]


def phases(traces: Traces) -> Iterator[tuple[str, dict[str, Floats]]]:
    """The phases in words, and in each the value (settings, seeds) of every column."""
    steps = traces.figures.shape[2]
    names = traces.columns
    yield "before the first update", {name: traces.figure(name)[:, :, 0] for name in names}
    if steps > 1:
        yield f"mean of the first {steps} steps", {name: _mean(traces.figure(name)) for name in names}


def _mean(values: Floats) -> Floats:
    """The mean over the steps that have a value; NaN if none has."""
    there = np.isfinite(values)
    count = there.sum(axis=2)
    total = np.where(there, values, 0).sum(axis=2)
    result: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return result


def _claim(traces: Traces, phase: str, values: dict[str, Floats], setting: int, claim: str) -> Verdict:
    figures = [
        judge(figure, values[figure.column][0].tolist(), values[figure.column][setting].tolist())
        for figure in spelt_out(claim, traces.columns)
    ]
    return Verdict(phase, traces.labels[setting], claim, overall([one.verdict for one in figures]), tuple(figures))


def spelt_out(claim: str, names: Sequence[str]) -> Iterator[Figure]:
    """The claim's figures. A figure with a star in its name stands for each column it fits."""
    for figure in CLAIMS[claim]:
        stem, star, _ = figure.column.partition("*")
        for name in names:
            if name == figure.column or (star and name.startswith(stem)):
                yield figure._replace(column=name, words=figure.words.replace("*", name.removeprefix(stem)))


def judge(figure: Figure, baseline: Sequence[float], values: Sequence[float]) -> Judged:
    """Judge one figure over the seeds in which both settings have a value.

    Mean and interval are None if there is no such seed, or a ratio would hold 0.
    """
    pairs = [(a, b) for a, b in zip(baseline, values, strict=True) if not (math.isnan(a) or math.isnan(b))]
    usable = all(math.isfinite(a) and math.isfinite(b) and (figure.part or (a > 0 and b > 0)) for a, b in pairs)
    if not pairs or not usable:
        return Judged(figure, tuple(baseline), tuple(values), None, None, None, OPEN if figure.sign else "")
    found = paired([100 * (b - a) if figure.part else math.log(b / a) for a, b in pairs])
    interval = found.interval
    low = None if interval is None else found.mean - interval
    high = None if interval is None else found.mean + interval
    verdict = FEW if low is None or high is None else _verdict(figure.sign * low, figure.sign * high)
    verdict = SAME if all(a == b for a, b in pairs) else verdict
    mean, low, high = (end if figure.part or end is None else math.exp(end) for end in (found.mean, low, high))
    return Judged(figure, tuple(baseline), tuple(values), mean, low, high, verdict if figure.sign else "")


def _verdict(one: float, other: float) -> str:
    """The verdict of the interval between `one` and `other`. Its numbers are positive where the claim holds."""
    return YES if min(one, other) > 0 else OPPOSITE if max(one, other) < 0 else OPEN


def overall(verdicts: Sequence[str]) -> str:
    """The verdict of a claim from those of its figures."""
    judged = {verdict for verdict in verdicts if verdict}
    if len(judged) == 1:
        return judged.pop()
    return FEW if FEW in judged else IN_PART if YES in judged else OPEN if OPEN in judged else OPPOSITE


def to_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Plain values for JSON; fractions from 0 to 1, their differences in percentage points."""
    return [
        {"phase": v.phase, "setting": v.setting, "claim": v.claim, "verdict": v.verdict}
        | {"figures": [_figure_json(one) for one in v.figures]}
        for v in verdicts
    ]


def _figure_json(one: Judged) -> dict[str, Any]:
    values = {"figure": one.figure.column, "baseline": list(one.baseline), "values": list(one.values)}
    compared = {"difference" if one.figure.part else "ratio": one.mean, "low": one.low, "high": one.high}
    return values | compared | {"verdict": one.verdict or None}


def from_json(stored: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """The verdicts from what `to_json` gave; None is a value that is not finite. KeyError for an unknown claim."""
    return [_of_json(one) for one in stored]


def _of_json(stored: Mapping[str, Any]) -> Verdict:
    claim, given = stored["claim"], {one["figure"]: one for one in stored["figures"]}
    figures = tuple(
        judge(figure, *(_floats(given[figure.column][key]) for key in ("baseline", "values")))
        for figure in spelt_out(claim, tuple(given))
    )
    return Verdict(stored["phase"], stored["setting"], claim, overall([one.verdict for one in figures]), figures)


def _floats(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def text(verdicts: Sequence[Verdict], baseline: str, width: int | None = None) -> list[str]:
    """The table of each phase, in lines for a terminal, of at most `width` characters where that is possible."""
    if not verdicts:
        return ["", "the abstract's claims: judged with a second setting only; add --setting"]
    lines = []
    for phase, (header, rows) in by_phase(verdicts, baseline).items():
        lines += ["", *columns((f"claims, {phase}", *header), rows, rule=False, width=width)]
    return [*lines, "", f"Claims: against {baseline}, paired within the seeds. {IN_BRACKETS}."]


def markdown(verdicts: Sequence[Verdict], baseline: str, title: str, seeds: Sequence[int]) -> str:
    """A section for each phase."""
    lines = [
        f"# {title}: the abstract's claims\n",
        f"Against {baseline}, paired within the seeds {', '.join(map(str, seeds))}. {IN_BRACKETS}"
        f"{'' if len(seeds) >= LEAST else f'; nothing is inferred from fewer than {LEAST}'}.\n",
    ]
    for phase, (header, rows) in by_phase(verdicts, baseline).items():
        lines += [f"## {phase[0].upper()}{phase[1:]}\n", markdown_table(("", *header), rows)]
    return "\n".join(lines)


def by_phase(verdicts: Sequence[Verdict], baseline: str) -> dict[str, tuple[list[str], list[list[str]]]]:
    """The header and the rows of the table of each phase. Rows: a claim with its verdicts, then the claim's figures."""
    phases = dict.fromkeys(v.phase for v in verdicts)
    return {phase: _table([v for v in verdicts if v.phase == phase], baseline) for phase in phases}


def _table(verdicts: Sequence[Verdict], baseline: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of one phase: each claim with its verdicts, and below it its figures."""
    rows = []
    for claim in dict.fromkeys(v.claim for v in verdicts):
        settings = [v for v in verdicts if v.claim == claim]
        rows.append([claim, "", *map(_in_words, settings)])
        for same in zip(*(v.figures for v in settings), strict=True):
            figure = same[0].figure
            first = _number(figure, same[0].baseline)
            rows.append([f"  {figure.words}", first, *(_beside(one) for one in same)])
    return [baseline, *dict.fromkeys(v.setting for v in verdicts)], rows


def _in_words(verdict: Verdict) -> str:
    """The verdict; for a claim that holds in part, also the figures for which it holds, and for which the opposite."""
    if verdict.verdict != IN_PART:
        return verdict.verdict
    against = _figures_with(verdict, OPPOSITE)
    return f"{IN_PART}: {_figures_with(verdict, YES)}{f'; the opposite: {against}' if against else ''}"


def _figures_with(verdict: Verdict, kind: str) -> str:
    """The claim's figures that have this verdict; those of all blocks as one."""
    stems = [one.figure.words.partition(BLOCK)[0] for one in verdict.figures]
    having = [stem for stem, one in zip(stems, verdict.figures, strict=True) if one.verdict == kind]
    counts = {stem: (having.count(stem), stems.count(stem)) for stem in having}
    return ", ".join(stem if n == of else f"{stem} of {n} of {of} blocks" for stem, (n, of) in counts.items())


def _number(figure: Figure, values: Sequence[float]) -> str:
    """The mean over the seeds that have a value: the geometric one, unless it is a fraction or a value is 0."""
    there = [value for value in values if not math.isnan(value)]
    if not there:
        return "no such query"
    if figure.part:
        return f"{100 * float(np.mean(there)):.1f} %"
    return f"{float(np.exp(np.mean(np.log(there)))) if min(there) > 0 else float(np.mean(there)):.4g}"


def _beside(one: Judged) -> str:
    """`2.292 (x 0.052, 0.050 to 0.054)`, or `5.7 % (-77.6, -79.1 to -76.1)`."""
    shown = _number(one.figure, one.values)
    if one.mean is None:
        return shown
    form, before = ("+.1f", "") if one.figure.part else (".3g", "x ")
    interval = "" if one.low is None or one.high is None else f", {one.low:{form}} to {one.high:{form}}"
    return f"{shown} ({before}{one.mean:{form}}{interval})"
