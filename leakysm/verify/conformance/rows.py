"""The result of a conformance check: a report with a row for each operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class WorstError:
    """The largest error of one dtype and output: error / bound, error / (eps scale), and in which case."""

    dtype: str
    part: str
    output: str
    ratio: float
    roundings: float
    case: str


@dataclass(frozen=True)
class ShownFailure:
    """A failure with one flag, in words and as code. numbers: how many its case holds, after it was made small.

    advice: the flag whose advice helps, if another one does for certain.
    """

    flag: str
    problem: str
    counterexample: str
    numbers: int
    advice: str | None = None


@dataclass
class Row:
    """One operation. status: "passed", "failed", "not offered", or "broken" (a module that cannot be checked).

    not_judged: elements whose discrete choices were too many to judge. notes: what was left unchecked, and why.
    problem, counterexample and flag: those of the failure that says most. others: failures with other flags, if asked
    for.
    """

    operation: str
    status: str = "not offered"
    cases: int = 0
    not_offered: tuple[str, ...] = ()
    failures: dict[str, int] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)
    worst: list[WorstError] = field(default_factory=list)
    problem: str | None = None
    counterexample: str | None = None
    flag: str | None = None
    not_judged: int = 0
    notes: list[str] = field(default_factory=list)
    others: list[ShownFailure] = field(default_factory=list)


@dataclass
class Report:
    """The rows, and what was checked. `unmatched`: expected failures that did not happen; `missing`: what is required
    and not offered, an operation or its gradient `<name>_vjp`."""

    name: str
    versions: Mapping[str, str]
    rows: list[Row]
    unmatched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether one operation is offered or more, none fails or is missing, and every expected failure happened."""
        statuses = [row.status for row in self.rows]
        bad = {"failed", "broken"} & set(statuses) or self.unmatched or self.missing
        return "passed" in statuses and not bad
