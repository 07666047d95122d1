"""Conformance: all operations that an implementation offers, held to the bounds, and a report with a row for each.

`conform(implementation)` is what `leakysm conform`, `leakysm verify` and the pytest plugin run. It raises for nothing
that an implementation does: whatever goes wrong is a row of the report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from leakysm.errors import UserError
from leakysm.verify import entries  # noqa: F401  (registers the package's operations)
from leakysm.verify.adapters.implementation import Implementation, NotOffered
from leakysm.verify.adapters.module import ModuleImplementation, array_kind, arrays_named, load
from leakysm.verify.checks import PARTS, Outcome, draw, judge
from leakysm.verify.counterexample import code
from leakysm.verify.registry import ENTRIES, Case, Entry, Truth
from leakysm.verify.shrink import shrink

OTHERS_DTYPES = ("float32", "float64")
OWN_DTYPES = ("float16", "float32", "float64")


@dataclass(frozen=True)
class Settings:
    """How much is checked. strict: also what only this package promises, float16 included."""

    dtypes: tuple[str, ...] = OTHERS_DTYPES
    strict: bool = False
    examples: int = 25
    shrink_seconds: float = 1.5


@dataclass(frozen=True)
class Worst:
    """The largest error of one dtype and output: error / bound, error / (eps scale), and in which case."""

    dtype: str
    part: str
    output: str
    ratio: float
    roundings: float
    case: str


@dataclass
class Row:
    """One operation. status: "passed", "failed", "not offered", or "broken" (a module that cannot be checked)."""

    operation: str
    status: str = "not offered"
    cases: int = 0
    not_offered: tuple[str, ...] = ()
    failures: dict[str, int] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)
    worst: list[Worst] = field(default_factory=list)
    problem: str | None = None
    counterexample: str | None = None


@dataclass
class Report:
    """The rows, and what was checked. `unmatched`: expected failures that did not happen."""

    name: str
    versions: Mapping[str, str]
    rows: list[Row]
    unmatched: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """At least one operation is offered, none fails, and every expected failure happened."""
        statuses = [row.status for row in self.rows]
        return "passed" in statuses and not {"failed", "broken"} & set(statuses) and not self.unmatched


@dataclass(frozen=True)
class Expected:
    """An expected failure: outcomes whose id, operation/case/dtype/output, matches a shell pattern; and the reason."""

    pattern: str
    reason: str

    def matches(self, outcome: Outcome) -> bool:
        return fnmatchcase(outcome.id, self.pattern)


def read_expected(text: str) -> list[Expected]:
    """Lines `PATTERN  # reason`; empty lines and lines of comment are skipped. UserError for a line without reason."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        pattern, mark, reason = line.partition("#")
        if not pattern.strip():
            continue
        if not mark or not reason.strip():
            raise UserError(
                f"expected failures, line {number}: {line.strip()!r} gives no reason; add it: PATTERN # REASON"
            )
        found.append(Expected(pattern.strip(), reason.strip()))
    return found


def read_expected_file(path: Path) -> list[Expected]:
    """The same of a file. UserError if it cannot be read, too."""
    try:
        return read_expected(path.read_text("utf-8-sig"))
    except OSError as error:
        raise UserError(f"expected failures, {path}: {error.strerror}; name a readable file") from None
    except UnicodeDecodeError:
        raise UserError(f"expected failures, {path} is no UTF-8 text; save it as that") from None


def conform(
    implementation: Implementation,
    *,
    operations: Sequence[str] | None = None,
    settings: Settings | None = None,
    expected: Sequence[Expected] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Check some (default: all) operations of an implementation. UserError for an operation that nobody knows."""
    settings = settings or Settings()
    for name in operations or ():
        if name not in ENTRIES:
            raise UserError(f"operation is {name!r}; one of {', '.join(ENTRIES)} is expected: choose one")
    rows, met, names = [], set(), operations or tuple(ENTRIES)
    for done, name in enumerate(names):
        progress(done, len(names))
        row, used = check_operation(implementation, ENTRIES[name], settings, expected)
        rows.append(row)
        met |= used
    unmatched = [f"{e.pattern}  # {e.reason}" for e in expected if e not in met]
    return Report(implementation.name, implementation.versions, rows, unmatched)


def fixed_case(case_id: str) -> Case:
    """A fixed case by its id, operation/name; UserError if there is none."""
    operation, _, name = case_id.partition("/")
    found = [c for c in (ENTRIES[operation].cases() if operation in ENTRIES else ()) if c.name == name]
    if not found:
        raise UserError(
            f"case is {case_id!r}; an id such as squared_euclidean/plain is expected: `leakysm vectors list` shows them"
        )
    return found[0]


def check_operation(
    implementation: Implementation, entry: Entry, settings: Settings, expected: Sequence[Expected] = ()
) -> tuple[Row, set[Expected]]:
    """One row, and which of the expected failures were met."""
    row = Row(entry.operation)
    row.not_offered = tuple(part for part in PARTS if not implementation.offers(entry.operation, part))
    if row.not_offered == PARTS:
        return row, set()
    offered = [part for part in PARTS if part not in row.not_offered]
    run = _Run(implementation, entry, settings, offered, expected)
    for truth in entry.truths:
        if settings.strict or not truth.case.own:
            run.check(truth)
    if settings.examples:
        draw(entry, lambda case: run.check(Truth(entry, case)), examples=settings.examples)
    run.fill(row)
    return row, run.met


class _Run:
    """The outcomes of one operation, gathered."""

    def __init__(
        self,
        implementation: Implementation,
        entry: Entry,
        settings: Settings,
        parts: Sequence[str],
        expected: Sequence[Expected],
    ):
        self.implementation, self.entry, self.settings = implementation, entry, settings
        self.parts, self.expected = parts, expected
        self.cases = 0
        self.met: set[Expected] = set()
        self.reasons: dict[str, str] = {}
        self.failures: Counter[str] = Counter()
        self.worst: dict[tuple[str, str], Worst] = {}
        self.smallest: tuple[Truth, Outcome] | None = None

    def check(self, truth: Truth) -> bool:
        """Judge a case in every dtype and part and count it; whether anything failed unexpectedly."""
        outcomes = self._outcomes(truth)
        self.cases += bool(outcomes)
        failed = self._failed(truth, outcomes)
        if failed:
            self.failures.update(truth.case.flags)
        for outcome in outcomes:
            if not outcome.failed or outcome in failed:
                self._remember_worst(outcome)
        return bool(failed)

    def _outcomes(self, truth: Truth) -> list[Outcome]:
        dtypes = [dtype for dtype in self.settings.dtypes if dtype in truth.case.dtypes]
        return [outcome for dtype in dtypes for part in self.parts for outcome in self._judged(truth, dtype, part)]

    def _failed(self, truth: Truth, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The unexpected failures among the outcomes; the smallest case that has one is kept."""
        failed = [outcome for outcome in outcomes if outcome.failed and not self._is_expected(outcome)]
        if failed and (self.smallest is None or truth.case.size < self.smallest[0].case.size):
            self.smallest = truth, failed[0]
        return failed

    def _judged(self, truth: Truth, dtype: str, part: str) -> list[Outcome]:
        try:
            return list(judge(self.implementation, truth, dtype, part, strict=self.settings.strict))
        except NotOffered:
            return []

    def _is_expected(self, outcome: Outcome) -> bool:
        matching = [e for e in self.expected if e.matches(outcome)]
        self.met.update(matching)
        self.reasons.update({e.pattern: e.reason for e in matching})
        return bool(matching)

    def _remember_worst(self, outcome: Outcome) -> None:
        key = outcome.dtype, outcome.output
        if key not in self.worst or outcome.ratio > self.worst[key].ratio:
            found = outcome.ratio, outcome.roundings, outcome.case.id
            self.worst[key] = Worst(outcome.dtype, outcome.part, outcome.output, *found)

    def fill(self, row: Row) -> None:
        row.cases, row.failures, row.expected = self.cases, dict(self.failures), self.reasons
        row.worst = sorted(self.worst.values(), key=lambda w: (w.dtype, w.output))
        row.status = "failed" if self.failures else "passed" if self.cases else "not offered"
        if self.smallest is not None:
            truth, outcome = self._shrunk(*self.smallest)
            row.problem = f"{outcome.id}: {outcome.problem}"
            row.counterexample = code(self.implementation, truth, outcome)

    def _shrunk(self, truth: Truth, outcome: Outcome) -> tuple[Truth, Outcome]:
        """A smaller case that fails in the same dtype and part, and how."""

        def failures(case: Case) -> list[Outcome]:
            if outcome.dtype not in case.dtypes:
                return []
            found = self._judged(Truth(self.entry, case), outcome.dtype, outcome.part)
            return [o for o in found if o.failed and not self._is_expected(o)]

        case = shrink(truth.case, lambda smaller: bool(failures(smaller)), self.settings.shrink_seconds)
        remaining = failures(case)
        return (Truth(self.entry, case), remaining[0]) if remaining else (truth, outcome)


def conform_module(
    target: str,
    *,
    array: str | None = None,
    operations: Sequence[str] | None = None,
    settings: Settings | None = None,
    expected: Sequence[Expected] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Check what MODULE[:NAME] names. A module that cannot be imported, or offers nothing, is a row of the report."""
    implementation = _loaded(target, array)
    if isinstance(implementation, str):
        return Report(target, {}, [Row(target, "broken", problem=implementation)])
    report = conform(implementation, operations=operations, settings=settings, expected=expected, progress=progress)
    if all(row.status == "not offered" for row in report.rows):
        report.rows.insert(0, Row(target, "broken", problem=_nothing(operations or tuple(ENTRIES))))
    return report


def offered(target: str, array: str | None = None) -> str | None:
    """None if MODULE[:NAME] can be imported and offers an operation, else what is wrong with it."""
    implementation = _loaded(target, array)
    if isinstance(implementation, str):
        return implementation
    return None if any(implementation.offers(o, part) for o in ENTRIES for part in PARTS) else _nothing(tuple(ENTRIES))


def _nothing(operations: Sequence[str]) -> str:
    return f"offers no operation; a function is expected of the name {' or '.join(operations)}"


def _loaded(target: str, array: str | None) -> ModuleImplementation | str:
    """The implementation, or why there is none: importing it may do anything."""
    if array is not None:
        arrays_named(array)  # a wrong name is bad use, whatever the module is
    try:
        found, module = load(target)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        return " ".join(f"cannot be imported: {type(problem).__name__}: {problem}".split())
    return ModuleImplementation(found, arrays_named(array or array_kind(module)), target)
