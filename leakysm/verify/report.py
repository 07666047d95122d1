"""Reports as plain strings and as JSON. The caller decides how to print them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from leakysm.verify.conformance import Report, Row, WorstError
from leakysm.verify.flags import FLAGS, by_what_they_say
from leakysm.verify.gradients import Checks
from leakysm.verify.search import Peak

VERSION = 2


MOST_FLAGS = 3  # of an operation, in the table
EXPLAIN = "What another flag means, and what to do about it: leakysm conform --explain FLAG"
SUMMARY_HEADER = ("operation", "result", "cases", "largest error / bound", "failures by flag, and notes")


def summary_rows(report: Report) -> list[list[str]]:
    """A row for each operation that is offered: its result. `not_offered` names the others."""
    return [_summary(row) for row in report.rows if row.status != "not offered"]


def not_offered(report: Report) -> list[str]:
    """One line that names the operations that are not offered; none if all are."""
    names = [row.operation for row in report.rows if row.status == "not offered"]
    return [f"not offered: {', '.join(names)}"] if names else []


def result(row: Row) -> str:
    """The result of an operation, and what of it was not checked."""
    if row.status == "failed" and not row.cases:
        return "not checked" if row.notes else "cannot be called"
    limits = ["value only"] if row.not_offered == ("vjp",) else []
    limits += ["gradient only"] if row.not_offered == ("value",) else []
    limits += [f"{row.not_judged} not judged"] if row.not_judged else []
    return row.status + (f" ({', '.join(limits)})" if limits and row.status != "not offered" else "")


def hints(report: Report) -> list[str]:
    """What to do about each operation that fails."""
    return [line for row in report.rows for line in row_hints(row)]


def row_hints(row: Row) -> list[str]:
    """What to do about an operation that fails: the mend of its flag. Before it, all flags if they are many."""
    lines = []
    if len(row.failures) > MOST_FLAGS:
        lines.append(f"{row.operation} fails with the flags: {_counts(row)}")
    if row.flag in FLAGS:
        lines.append(f"{row.operation}, what to do ({row.flag}): {FLAGS[row.flag].mend}")
    return lines


def _counts(row: Row, most: int | None = None) -> str:
    return ", ".join(f"{flag} {row.failures[flag]}" for flag in by_what_they_say(row.failures)[:most])


def _short(number: float, digits: int) -> str:
    """A number with so many decimals; a large one as 1.4e13."""
    return f"{number:.1e}".replace("e+0", "e").replace("e+", "e") if number >= 1e6 else f"{number:.{digits}f}"


def _summary(row: Row) -> list[str]:
    worst = max(row.worst, key=lambda w: w.ratio, default=None)
    largest = (
        f"{_short(worst.ratio, 2)} ({worst.output}, {worst.dtype}, {worst.case.partition('/')[2]})" if worst else ""
    )
    failures = f"{_counts(row, MOST_FLAGS)}{', ...' if len(row.failures) > MOST_FLAGS else ''}"
    expected = ", ".join(f"expected: {reason}" for reason in row.expected.values())
    words = "; ".join(filter(None, (failures, expected, *row.notes)))
    return [row.operation, result(row), str(row.cases or ""), largest, words]


ERROR_HEADER = ("operation", "dtype", "part", "error / bound", "error in eps * scale", "worst output", "worst case")


def error_rows(report: Report) -> list[list[str]]:
    """The largest errors seen: a row for each operation, dtype and part, value or vjp."""
    rows = []
    for row in report.rows:
        for (dtype, part), worst in sorted(_by_part(row).items()):
            numbers = [_short(worst.ratio, 3), _short(worst.roundings, 2)]
            rows.append([row.operation, dtype, part, *numbers, worst.output, worst.case.partition("/")[2]])
    return rows


def _by_part(row: Row) -> dict[tuple[str, str], WorstError]:
    worst_of: dict[tuple[str, str], WorstError] = {}
    for worst in row.worst:
        if (worst.dtype, worst.part) not in worst_of or worst.ratio > worst_of[worst.dtype, worst.part].ratio:
            worst_of[worst.dtype, worst.part] = worst
    return worst_of


GRADIENT_HEADER = (
    "operation",
    "directions",
    "Jacobian entries",
    "laws",
    "crossed a kink",
    "largest error / bound",
    "result",
)


def gradient_rows(checks: Sequence[Checks]) -> list[list[str]]:
    """The checks by numerical derivatives and laws: a row for each operation."""
    return [
        [c.operation, str(c.directions), str(c.entries), str(c.laws), str(c.crossed), f"{c.worst:.3f}", c.result]
        for c in checks
    ]


def problems(report: Report) -> list[str]:
    """What went wrong: of each operation the failure that says most; then what is missing or did not happen."""
    lines = [line for row in report.rows for line in row_problems(row)]
    lines += [f"{required(name)}, or leave --require out" for name in report.missing]
    return lines + [f"expected failure that did not happen: {entry}; remove it" for entry in report.unmatched]


def failed(report: Report, checks: Sequence[Checks]) -> list[str]:
    """The names of what failed of an engine: operations, and checks of gradients."""
    operations = [row.operation for row in report.rows if row.status != "passed"]
    return operations + [f"gradients of {c.operation}" for c in checks if c.problems]


def verdict(report: Report, checks: Sequence[Checks]) -> list[str]:
    """The result of an engine's check, in a line or two."""
    wrong, many = failed(report, checks), len(report.rows)
    cases, unknown = sum(row.cases for row in report.rows), sum(row.not_judged for row in report.rows)
    came_to = f"failed: {', '.join(wrong)}" if wrong else "every error is within its bound"
    lines = [f"{report.name}: {many} operation{'s' * (many != 1)}, {cases} cases: {came_to}"]
    return lines + ([f"not judged: {unknown} elements"] if unknown else [])


def required(name: str) -> str:
    """What is missing of what is required: an operation, or its gradient `<name>_vjp`."""
    operation = name.removesuffix("_vjp")
    lacks = (
        "is required and not offered: define it"
        if operation == name
        else f"is required and has no gradient: define {name}"
    )
    return f"{operation} {lacks}"


def row_problems(row: Row) -> list[str]:
    """What went wrong with one operation, and, where it was asked for, one failure of each other flag."""
    if row.problem is None:
        return []
    failures = [(row.operation, row.problem, row.counterexample or "")]
    failures += [(f"{row.operation}, {other.flag}", other.problem, other.counterexample) for other in row.others]
    return [
        line
        for title, problem, code in failures
        for line in ("", f"{title}: {problem}", *(f"    {text}" for text in code.splitlines()))
    ]


def as_json(report: Report, checks: Sequence[Checks] | None = None) -> dict[str, Any]:
    """Everything, for a program. `version` changes when a key does."""
    return {
        "version": VERSION,
        "name": report.name,
        "versions": dict(report.versions),
        "ok": report.ok and not any(c.problems for c in checks or ()),
        "operations": [asdict(row) for row in report.rows],
        "unmatched": report.unmatched,
        "missing": report.missing,
        **({} if checks is None else {"gradients": [asdict(c) for c in checks]}),
    }


SEARCH_HEADER = ("operation", "output", "largest error / worst bound", "float32", "float64", "calls tried")


def search_rows(peaks: Sequence[Peak]) -> list[list[str]]:
    """The results of the adversarial search: a row for each output."""
    rows: dict[tuple[str, str], dict[str, Peak]] = {}
    for peak in peaks:
        rows.setdefault((peak.operation, peak.output), {})[peak.dtype] = peak
    return [
        [
            operation,
            output,
            f"{max(peak.ratio for peak in by_dtype.values()):.3f}",
            *(f"{by_dtype[dtype].ratio:.3f}" if dtype in by_dtype else "" for dtype in ("float32", "float64")),
            str(sum(peak.tried for peak in by_dtype.values())),
        ]
        for (operation, output), by_dtype in rows.items()
    ]
