"""Conformance: all operations that an implementation offers, held to the bounds, and a report with a row for each.

`conform(implementation)` is what `leakysm conform`, `leakysm verify` and the pytest plugin run. It raises for nothing
that an implementation does: whatever goes wrong is a row of the report.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.errors import UserError
from leakysm.verify import entries  # noqa: F401  (registers the package's operations)
from leakysm.verify.adapters.arrays import EXPANDED, arrays_named, kept
from leakysm.verify.adapters.implementation import Implementation, NotOffered
from leakysm.verify.adapters.loading import cannot_be_imported, load
from leakysm.verify.adapters.module import ModuleImplementation, array_kind
from leakysm.verify.adapters.signatures import Names
from leakysm.verify.calls import PARTS, Manner, in_turn, plainly
from leakysm.verify.checks import Outcome, draw, judge
from leakysm.verify.counterexample import shown
from leakysm.verify.processes import mapped
from leakysm.verify.registry import DTYPES, ENTRIES, Case, Entry, Truth
from leakysm.verify.shrink import shrink
from leakysm.verify.telling import rank

OTHERS_DTYPES = ("float32", "float64")
OWN_DTYPES = DTYPES  # of this package
BOTH_DTYPES = {"plain"}  # flags whose cases run in every dtype, where a library compiles for each
IN_TURN = {"size", "corner", "limit"}  # flags whose cases run in one of the dtypes there, and not always in the first
SHAPES_TO_COMPILE = 4  # of random cases, for each operation, where a library compiles for each shape
SAME_EXCEPTIONS = 3  # cases after which a part that raises nothing but the same exception is given up


@dataclass(frozen=True)
class Settings:
    """How much is checked. strict: also what only this package promises, float16 included.

    seed: of the random cases. seconds: the time limit of each operation, kept between cases, not within one.
    every_flag: show a counterexample for every flag, not only the one that says most. first_failure: leave an operation
    at its first failure. most_numbers: leave out larger cases.
    """

    dtypes: tuple[str, ...] = OTHERS_DTYPES
    strict: bool = False
    examples: int = 25
    shrink_seconds: float = 1.5
    seed: int = 0
    seconds: float | None = None
    every_flag: bool = False
    first_failure: bool = False
    most_numbers: float = float("inf")


@dataclass(frozen=True)
class Worst:
    """The largest error of one dtype and output: error / bound, error / (eps scale), and in which case."""

    dtype: str
    part: str
    output: str
    ratio: float
    roundings: float
    case: str


@dataclass(frozen=True)
class Shown:
    """A failure in words and as code: of the flag that it stands for."""

    flag: str
    problem: str
    counterexample: str


@dataclass
class Row:
    """One operation. status: "passed", "failed", "not offered", or "broken" (a module that cannot be checked).

    not_judged: elements whose discrete choices were too many to judge. notes: what was left unchecked, and why.
    problem and counterexample: of the failure that says most; others: of the other flags, if asked for.
    """

    operation: str
    status: str = "not offered"
    cases: int = 0
    not_offered: tuple[str, ...] = ()
    failures: dict[str, int] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)
    worst: list[Worst] = field(default_factory=list)
    problem: str | None = None
    counterexample: str | None = None
    not_judged: int = 0
    notes: list[str] = field(default_factory=list)
    others: list[Shown] = field(default_factory=list)


Checked = tuple[Row, set["Expected"]]  # an operation's row, and which of the expected failures were met


@dataclass
class Report:
    """The rows, and what was checked. `unmatched`: expected failures that did not happen; `missing`: what is required
    and not offered."""

    name: str
    versions: Mapping[str, str]
    rows: list[Row]
    unmatched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """At least one operation is offered, none fails, all required ones are there, expected failures happened."""
        statuses = [row.status for row in self.rows]
        bad = {"failed", "broken"} & set(statuses) or self.unmatched or self.missing
        return "passed" in statuses and not bad


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
    """The expected failures that a file lists. UserError if it cannot be read, or for a line without reason."""
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
    require: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
    finished: Callable[[Row], None] = lambda row: None,
    check: Callable[[str], Checked] | None = None,
    processes: int = 1,
) -> Report:
    """Check some (default: all) operations of an implementation. UserError for an operation that nobody knows.

    require: operations that must be offered. progress is called at the start and after each operation, finished after
    each. check: what checks an operation in the implementation's place; processes share the operations, if it is
    picklable.
    """
    require_known((*(operations or ()), *require))
    check = check or partial(_check, implementation, settings or Settings(), expected)
    rows, met, names = [], set(), operations or tuple(ENTRIES)
    with mapped(check, names, processes) as results:
        progress(0, len(names))
        for done, (row, used) in enumerate(results, 1):
            progress(done, len(names))
            finished(row)
            rows.append(row)
            met |= used
    unmatched = [f"{e.pattern}  # {e.reason}" for e in expected if e not in met]
    missing = [name for name in require if not implementation.offers(name, "value")]
    return Report(implementation.name, implementation.versions, rows, unmatched, missing)


def _check(implementation: Implementation, settings: Settings, expected: Sequence[Expected], name: str) -> Checked:
    return check_operation(implementation, ENTRIES[name], settings, expected)


def _check_module(
    target: str, array: str | None, names: Sequence[str], settings: Settings, expected: Sequence[Expected], name: str
) -> Checked:
    """One operation of a module, in a process of its own: what the module prints is no report."""
    with contextlib.redirect_stdout(sys.stderr):
        implementation = _loaded_once(target, array, tuple(names))
        if isinstance(implementation, str):
            return Row(target, "broken", problem=implementation), set()
        return _check(implementation, settings, expected, name)


@lru_cache(maxsize=1)
def _loaded_once(target: str, array: str | None, names: tuple[str, ...]) -> ModuleImplementation | str:
    return loaded(target, array, names)


def require_known(operations: Sequence[str]) -> None:
    """UserError for an operation that nobody knows."""
    for name in operations:
        if name not in ENTRIES:
            raise UserError(f"operation is {name!r}; one of {', '.join(ENTRIES)} is expected: choose one")


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
    row.problem = implementation.misfit(entry.operation)
    if row.problem is not None:
        row.status = "failed"
        return row, set()
    run = _Run(implementation, entry, settings, [p for p in PARTS if p not in row.not_offered], expected)
    run.check_all()
    run.fill(row)
    return row, run.met


@dataclass(frozen=True)
class _Failure:
    """A case that failed, and how. It is better to show where its flags say more and it is smaller."""

    truth: Truth
    outcome: Outcome
    flags: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, bool, int]:
        return rank(self.flags), self.outcome.kind == "impure", self.truth.case.size


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
        self.parts, self.expected = list(parts), expected
        self.not_judged = 0
        self.flushed: set[str] = set()
        self.seen: set[Truth] = set()
        self.met: set[Expected] = set()
        self.reasons: dict[str, str] = {}
        self.failures: Counter[str] = Counter()
        self.worst: dict[tuple[str, str], Worst] = {}
        self.best: dict[str, _Failure] = {}  # of each flag
        self.raised: dict[str, list[set[str]]] = {part: [] for part in parts}  # what each case raised, "" for nothing
        self.notes: list[str] = []
        self.end = float("inf") if settings.seconds is None else time.monotonic() + settings.seconds

    def check_all(self) -> None:
        """Some cases in every layout and with an eye on purity, all in every layout in turn, then random ones.

        Purity comes first: a setting that an earlier call had changed would not be seen to change.
        """
        with kept(self.implementation.arrays.settings, self.implementation.arrays.scope):
            self._check_all()

    def _check_all(self) -> None:
        settings = self.settings
        truths = [t for t in self.entry.truths if settings.strict or not t.case.own]
        truths = [t for t in truths if t.case.size <= settings.most_numbers]
        if self.implementation.arrays.compiles:
            truths = few_sizes(truths)
        most = 1 if self.implementation.arrays.compiles else 2
        planned = [(t, m) for t in watched(truths, most) for m in watching(self.implementation, t.case)]
        planned += [(t, in_turn(self.implementation, t.case, turn)) for turn, t in enumerate(truths)]
        for done, (truth, manner) in enumerate(planned):
            if not self.parts or (self.settings.first_failure and self.failures):
                return
            if time.monotonic() > self.end:
                self.notes.append(f"cut off after {self.settings.seconds:g} s, at case {done} of {len(planned)}")
                return
            self.check(truth, manner)
        if self.settings.examples and not (self.settings.first_failure and self.failures):
            self._draw()

    def _draw(self) -> None:
        compiles = self.implementation.arrays.compiles
        turns = itertools.count()

        def ends(case: Case) -> bool:
            if time.monotonic() > self.end:
                self.notes.append(f"cut off after {self.settings.seconds:g} s, among the random cases")
                return True
            return self.check(Truth(self.entry, case), in_turn(self.implementation, case, next(turns)))

        amount, calls = self.settings.examples, SHAPES_TO_COMPILE if compiles else None
        draw(self.entry, ends, examples=amount, seed=self.settings.seed, calls=calls)

    def check(self, truth: Truth, manner: Manner) -> bool:
        """Judge a case in every dtype and part and count it; whether anything failed unexpectedly."""
        outcomes = self._outcomes(truth, manner)
        new = truth not in self.seen
        if outcomes:
            self.seen.add(truth)
        self.not_judged += sum(outcome.not_judged for outcome in outcomes)
        self.flushed |= {outcome.case.name for outcome in outcomes if outcome.flushed and not outcome.failed}
        failed = [outcome for outcome in outcomes if outcome.failed and not self._is_expected(outcome)]
        flags: set[str] = set()
        for outcome in failed:
            failure = self._failure(truth, outcome)
            flags.update(failure.flags)
            for flag in failure.flags:
                if flag not in self.best or failure.rank < self.best[flag].rank:
                    self.best[flag] = failure
        self.failures.update(flags)
        for outcome in outcomes:
            if outcome.kind != "impure" and (not outcome.failed or outcome in failed):
                self._remember_worst(outcome)
        if new:
            self._give_up(outcomes)
        return bool(failed)

    def _outcomes(self, truth: Truth, manner: Manner) -> list[Outcome]:
        parts = self.parts
        return [o for d in self._dtypes(truth.case) for part in parts for o in self._judged(truth, d, part, manner)]

    def _dtypes(self, case: Case) -> list[str]:
        """The dtypes to run a case in. Where a library compiles for each, most cases run in one of them only."""
        dtypes = [dtype for dtype in self.settings.dtypes if dtype in case.dtypes]
        if not self.implementation.arrays.compiles or BOTH_DTYPES & set(case.flags):
            return dtypes
        first = zlib.crc32(case.name.encode()) % len(dtypes) if IN_TURN & set(case.flags) and dtypes else 0
        return dtypes[first : first + 1]

    def _failure(self, truth: Truth, outcome: Outcome) -> _Failure:
        """The failure in the plainest manner. Its flag is `layout` if the same numbers pass when contiguous."""
        if outcome.kind == "impure":
            return _Failure(truth, outcome, ("purity",))
        plain, manner = plainly(truth.case), outcome.manner
        if manner is not None and manner.layouts != plain.layouts:
            plainer = replace(manner, layouts=plain.layouts, purity=False)
            again = [o for o in self._judged(truth, outcome.dtype, outcome.part, plainer) if o.failed]
            same = [o for o in again if o.output == outcome.output]
            if not same:
                return _Failure(truth, outcome, ("layout",))
            outcome = same[0]
        return _Failure(truth, outcome, truth.case.flags)

    def _judged(self, truth: Truth, dtype: str, part: str, manner: Manner) -> list[Outcome]:
        try:
            return list(judge(self.implementation, truth, dtype, part, strict=self.settings.strict, manner=manner))
        except NotOffered:
            return []

    def _give_up(self, outcomes: Sequence[Outcome]) -> None:
        """Leave a part out if its first cases raised the same exception, type and message, and nothing else."""
        for part in list(self.parts):
            mine = [o for o in outcomes if o.part == part]
            seen = self.raised[part]
            if not mine or len(seen) >= SAME_EXCEPTIONS:
                continue
            seen.append({o.problem or "" if o.kind == "raised" else "" for o in mine})
            everything = set().union(*seen)
            if len(seen) == SAME_EXCEPTIONS and len(everything) == 1 and "" not in everything:
                self.parts.remove(part)
                self.notes.append(f"stopped at the third case: its {part} {everything.pop()} each time")

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
        row.cases, row.failures, row.expected = len(self.seen), dict(self.failures), self.reasons
        row.worst = sorted(self.worst.values(), key=lambda w: (w.dtype, w.output))
        row.status = "failed" if self.failures else "passed" if self.seen else "not offered"
        row.not_judged = self.not_judged
        row.notes = [*self.implementation.notes(row.operation), *self.notes]
        if self.flushed:
            row.notes.append(f"takes subnormal inputs for 0 in: {', '.join(sorted(self.flushed))}")
        telling = sorted(self.best.items(), key=lambda item: item[1].rank)
        for flag, failure in telling if self.settings.every_flag else telling[:1]:
            row.others.append(self._shown(flag, failure))
        if row.others:
            most = row.others.pop(0)
            row.problem, row.counterexample = most.problem, most.counterexample

    def _shown(self, flag: str, failure: _Failure) -> Shown:
        truth, outcome = self._shrunk(failure)
        outcome, text = shown(self.implementation, truth, outcome, strict=self.settings.strict)
        return Shown(flag, f"{outcome.id}: {outcome.problem}", text)

    def _shrunk(self, failure: _Failure) -> tuple[Truth, Outcome]:
        """A smaller case that fails in the same dtype, part and manner, and how."""
        outcome, manner = failure.outcome, failure.outcome.manner or plainly(failure.truth.case)
        manner = replace(manner, purity=outcome.kind == "impure")

        def same(other: Outcome) -> bool:
            return other.kind == outcome.kind and (outcome.kind == "numbers" or _words(other) == _words(outcome))

        def failures(case: Case) -> list[Outcome]:
            if outcome.dtype not in case.dtypes or not manner.fits(case):
                return []
            found = self._judged(Truth(self.entry, case), outcome.dtype, outcome.part, manner)
            return [o for o in found if o.failed and same(o) and not self._is_expected(o)]

        case = shrink(failure.truth.case, lambda smaller: bool(failures(smaller)), self.settings.shrink_seconds)
        remaining = failures(case)
        return (Truth(self.entry, case), remaining[0]) if remaining else (failure.truth, outcome)


def _words(outcome: Outcome) -> str:
    """What is wrong, without the numbers: an exception often names the sizes of its arrays."""
    return re.sub(r"\d+", "", outcome.problem or "")


def few_sizes(truths: Sequence[Truth]) -> list[Truth]:
    """Without the cases of sizes that add nothing: each kept one has an axis, or two long ones, of a new length.

    Lengths count as the same from one power of 8 to the next. For a library that compiles for each shape.
    """
    known: set[tuple[int, ...]] = set()
    kept = []
    for truth in truths:
        case = truth.case
        if "size" in case.flags:
            lengths = [n for a in (*case.arguments, case.dy) for n in np.shape(a)]
            powers = [(n.bit_length() - 1) // 3 for n in lengths]
            long = [axis for axis, power in enumerate(powers) if power]
            seen = {*enumerate(powers), *((a, b, -1) for a, b in itertools.combinations(long, 2))}
            if seen <= known:
                continue
            known |= seen
        kept.append(truth)
    return kept


def watched(truths: Sequence[Truth], most: int) -> list[Truth]:
    """The cases whose purity is looked at: the plainest and smallest of different parameters that are no trifle, and
    the first of them with a constant dy."""
    ordinary = [
        t
        for t in truths
        if not t.case.own
        and np.any(np.asarray(t.case.dy) != 0)
        and all(np.size(a) > 1 and np.all(np.isfinite(a)) for a in t.case.floats)
    ]
    ordered = sorted(ordinary or truths, key=lambda t: (rank(t.case.flags), t.case.size))
    chosen: dict[str, Truth] = {}
    for truth in ordered:
        chosen.setdefault(repr(dict(truth.case.parameters)), truth)
    few = list(chosen.values())[:most]
    if few and np.ndim(few[0].case.dy):
        first = few[0].case
        summed = replace(first, name=f"{first.name}-summed", dy=np.ones_like(np.asarray(first.dy, np.float64)), note="")
        few.append(Truth(few[0].entry, summed))
    return few


def watching(implementation: Implementation, case: Case) -> list[Manner]:
    """Every layout, or an expanded dy for a case whose dy is constant; purity is looked at."""
    count = len(case.arguments)
    if case.name.endswith("-summed"):
        return [Manner((*("contiguous",) * count, EXPANDED), purity=True)]
    return [Manner((layout,) * (count + 1), purity=True) for layout in implementation.arrays.layouts]


def conform_module(
    target: str,
    *,
    array: str | None = None,
    names: Sequence[str] = (),
    operations: Sequence[str] | None = None,
    processes: int = 1,
    settings: Settings | None = None,
    expected: Sequence[Expected] = (),
    **others: Any,
) -> Report:
    """Check what MODULE[:NAME] names. A module that cannot be imported, or offers nothing, is a row of the report.

    names: what it calls the operations' parameters, THEIRS=OURS or OPERATION.THEIRS=OURS; processes: with more than
    one, so many load the module and share its operations; the others: as of `conform`.
    """
    implementation = loaded(target, array, names)
    if isinstance(implementation, str):
        return Report(target, {}, [Row(target, "broken", problem=implementation)])
    settings = settings or Settings()
    check = partial(_check_module, target, array, names, settings, expected)
    offered = [name for name in operations or ENTRIES if any(implementation.offers(name, part) for part in PARTS)]
    processes = min(processes, len(offered))
    report = conform(
        implementation,
        operations=operations,
        settings=settings,
        expected=expected,
        check=check if processes > 1 else None,
        processes=processes,
        **others,
    )
    if all(row.status == "not offered" for row in report.rows):
        report.rows.insert(0, Row(target, "broken", problem=_nothing([row.operation for row in report.rows])))
    return report


def offers_nothing(implementation: Implementation) -> str | None:
    """What is wrong with an implementation that offers no operation; None if it offers one."""
    some = any(implementation.offers(operation, part) for operation in ENTRIES for part in PARTS)
    return None if some else _nothing(tuple(ENTRIES))


def _nothing(operations: Sequence[str]) -> str:
    return f"offers no operation; a function of the name {' or '.join(operations)} is expected: define one, or rename"


def loaded(target: str, array: str | None = None, names: Sequence[str] = ()) -> ModuleImplementation | str:
    """The implementation, or why there is none: importing it may do anything. UserError for bad use of the others."""
    if array is not None:
        arrays_named(array)  # a wrong name is bad use, whatever the module is
    table = Names.read(names)
    try:
        found, module = load(target)
    except KeyboardInterrupt:
        raise
    except UserError as problem:
        return str(problem)
    except BaseException as problem:
        return cannot_be_imported(target, problem)
    return ModuleImplementation(found, arrays_named(array or array_kind(module, target)), target, table)
