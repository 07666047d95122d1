"""Check one operation: call its cases, judge the results, and make its row of the report."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from leakysm.verify.adapters.arrays import kept
from leakysm.verify.adapters.implementation import Implementation
from leakysm.verify.calls import PARTS, Call, Manner, in_turn, plainly
from leakysm.verify.case import Case
from leakysm.verify.cases.equal import plain_case
from leakysm.verify.checks import Outcome, draw
from leakysm.verify.conformance.expected import ExpectedFailure
from leakysm.verify.conformance.failures import Failure, judged, shown
from leakysm.verify.conformance.manners import planned
from leakysm.verify.conformance.rows import Row, WorstError
from leakysm.verify.conformance.selection import chosen_dtypes
from leakysm.verify.conformance.settings import Settings
from leakysm.verify.flags import flag_to_advise
from leakysm.verify.registry import ENTRIES, Entry, Truth

SHAPES_TO_COMPILE = 4  # random cases of an operation, if the library compiles for each shape
ENOUGH_CONFIRMED = 10  # then failures of functions that were compiled quickly are believed
SAME_EXCEPTIONS = 3  # a part is given up if so many first cases raise the same exception


def check_operation(
    implementation: Implementation, entry: Entry, settings: Settings, expected: Sequence[ExpectedFailure] = ()
) -> tuple[Row, set[ExpectedFailure]]:
    """Check an operation. Returns its row, and the expected failures that happened."""
    row = Row(entry.operation)
    row.not_offered = tuple(part for part in PARTS if not implementation.offers(entry.operation, part))
    if row.not_offered == PARTS:
        return row, set()
    row.problem = implementation.misfit(entry.operation)
    if row.problem is not None:
        row.status = "failed"
        return row, set()
    run = OperationRun(implementation, entry, settings, [p for p in PARTS if p not in row.not_offered], expected)
    run.check_all()
    run.fill(row)
    return row, run.met


class OperationRun:
    """The calls of one operation and their outcomes."""

    def __init__(
        self,
        implementation: Implementation,
        entry: Entry,
        settings: Settings,
        parts: Sequence[str],
        expected: Sequence[ExpectedFailure],
    ):
        self.implementation, self.entry, self.settings = implementation, entry, settings
        self.parts, self.expected = list(parts), expected
        self.not_judged = 0
        self.flushed: set[str] = set()
        self.seen: set[Truth] = set()
        self.met: set[ExpectedFailure] = set()
        self.reasons: dict[str, str] = {}
        self.failures: Counter[str] = Counter()
        self.worst: dict[tuple[str, str], WorstError] = {}
        self.best: dict[str, Failure] = {}  # for each flag, the failure to show
        self.raised: dict[str, list[set[str]]] = {part: [] for part in parts}  # what each case raised, "" for nothing
        self.confirmed = 0  # failures that remain when compiled as users do
        self.notes: list[str] = []
        self.end = float("inf") if settings.seconds is None else time.monotonic() + settings.seconds

    def check_all(self) -> None:
        """Call the fixed cases, then random ones. Settings of the program that they change are restored."""
        arrays = self.implementation.arrays
        if self.settings.purity and not arrays.compiles:
            with kept(arrays.watched_settings, arrays.scope):
                self._call_others()
        with kept(arrays.watched_settings, arrays.scope):
            if self._check_fixed() and self.settings.examples and not self._failed_first():
                self._check_random()

    def _call_others(self) -> None:
        """Call the other operations with this one's arrays: a result that they keep for these is wrong for this one."""
        case = plain_case([truth.case for truth in self.entry.truths])
        kinds = [argument.kind for argument in case.definition.arguments]
        for other in ENTRIES.values():
            offered = [part for part in PARTS if self.implementation.offers(other.operation, part)]
            alike = [argument.kind for argument in other.definition.arguments] == kinds
            if other is self.entry or not alike or not offered:
                continue
            like = plain_case([truth.case for truth in other.truths])
            borrowed = replace(like, arguments=case.arguments, dy=case.dy)
            for dtype, part in itertools.product(self.settings.dtypes, offered):
                with contextlib.suppress(Exception):
                    Call(self.implementation, borrowed, dtype, part, plainly(case)).results()

    def _failed_first(self) -> bool:
        return self.settings.first_failure and bool(self.failures)

    def _check_fixed(self) -> bool:
        """Call the fixed cases. Returns whether all of them were called."""
        calls = planned(self.implementation, self.entry, self.settings)
        for done, (truth, manner) in enumerate(calls):
            if not self.parts or self._failed_first():
                return False
            if self._is_late(f"at case {done} of {len(calls)}"):
                return False
            self.check(truth, manner)
        return True

    def _check_random(self) -> None:
        compiles = self.implementation.arrays.compiles
        turns = itertools.count()

        def ends(case: Case) -> bool:
            if self._is_late("among the random cases"):
                return True
            return self.check(Truth(self.entry, case), in_turn(self.implementation, case, next(turns)))

        amount, calls = self.settings.examples, SHAPES_TO_COMPILE if compiles else None
        draw(self.entry, ends, examples=amount, seed=self.settings.seed, calls=calls)

    def _is_late(self, where: str) -> bool:
        """Whether the operation's time is up. If so, the row says where the check stopped."""
        if time.monotonic() <= self.end:
            return False
        self.notes.append(f"cut off after {self.settings.seconds:g} s, {where}")
        return True

    def check(self, truth: Truth, manner: Manner) -> bool:
        """Judge and count a case in its dtypes and parts. Returns whether anything failed unexpectedly."""
        dtypes = [manner.dtype] if manner.dtype else chosen_dtypes(self.implementation, truth, self.settings)
        parts = [part for part in manner.way_of(self.implementation.arrays).parts if part in self.parts]
        outcomes: list[Outcome] = []
        for dtype, part in itertools.product(dtypes, parts):
            if not outcomes or time.monotonic() <= self.end:
                outcomes += self._judged(truth, dtype, part, manner)
        new = truth not in self.seen
        if outcomes:
            self.seen.add(truth)
        self.not_judged += sum(outcome.not_judged for outcome in outcomes)
        self.flushed |= {outcome.case.name for outcome in outcomes if outcome.flushed and not outcome.failed}
        failed = [outcome for outcome in outcomes if self._is_unexpected(outcome)]
        self._count(truth, failed)
        for outcome in outcomes:
            if outcome.kind != "impure" and (not outcome.failed or outcome in failed):
                self._remember_worst(outcome)
        if new:
            self._give_up(outcomes)
        return bool(failed)

    def _count(self, truth: Truth, failed: Sequence[Outcome]) -> None:
        """Count a case's failures, once for each flag, and keep those that say most."""
        flags: set[str] = set()
        for outcome in failed:
            failure = self._failure(truth, outcome)
            flags.update(failure.flags)
            for flag in failure.flags:
                if flag not in self.best or failure.rank < self.best[flag].rank:
                    self.best[flag] = failure
        self.failures.update(flags)

    def _failure(self, truth: Truth, outcome: Outcome) -> Failure:
        """The failure in the plainest manner that fails.

        Its flag is `layout` if the numbers pass when contiguous, the name of the way if they pass when called plainly.
        """
        plain, manner = plainly(truth.case), outcome.manner or plainly(truth.case)
        plainer = replace(manner, layouts=plain.layouts, way="", purity=False)
        if outcome.kind != "impure" and (manner.layouts, manner.way) != (plainer.layouts, plainer.way):
            again = [o for o in self._judged(truth, outcome.dtype, outcome.part, plainer) if o.failed]
            same = [o for o in again if o.output == outcome.output]
            if not same:
                return Failure(truth, outcome, (manner.way or "layout",))
            outcome = same[0]
        return Failure(truth, outcome, ("purity",) if outcome.kind == "impure" else truth.case.flags)

    def _judged(self, truth: Truth, dtype: str, part: str, manner: Manner) -> list[Outcome]:
        outcomes = judged(self.implementation, truth, dtype, part, manner, self.settings)
        quickly = manner.compiled and self.implementation.arrays.compiles and self.confirmed < ENOUGH_CONFIRMED
        if quickly and any(outcome.failed for outcome in outcomes):
            with self.implementation.arrays.compiling_as_users_do():
                outcomes = judged(self.implementation, truth, dtype, part, manner, self.settings)
            self.confirmed += any(outcome.failed for outcome in outcomes)
        return outcomes

    def _give_up(self, outcomes: Sequence[Outcome]) -> None:
        """Leave a part out if each of its first cases raised an exception of the same type and message."""
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

    def _is_unexpected(self, outcome: Outcome) -> bool:
        """Whether an outcome is an unexpected failure. An expected one is kept with its reason."""
        if not outcome.failed:
            return False
        matching = [e for e in self.expected if e.matches(outcome)]
        self.met.update(matching)
        self.reasons.update({e.pattern: e.reason for e in matching})
        return not matching

    def _remember_worst(self, outcome: Outcome) -> None:
        key = outcome.dtype, outcome.output
        if key not in self.worst or outcome.ratio > self.worst[key].ratio:
            errors = outcome.ratio, outcome.roundings, outcome.case.id
            self.worst[key] = WorstError(outcome.dtype, outcome.part, outcome.output, *errors)

    def fill(self, row: Row) -> None:
        """Fill the operation's row with the outcomes of its calls."""
        row.cases, row.failures, row.expected = len(self.seen), dict(self.failures), self.reasons
        row.worst = sorted(self.worst.values(), key=lambda w: (w.dtype, w.output))
        row.status = "failed" if self.failures else "passed" if self.seen else "not offered"
        row.not_judged = self.not_judged
        row.notes = [*self.implementation.notes(row.operation), *self.notes]
        if self.flushed:
            row.notes.append(f"reads subnormal inputs as 0 in: {', '.join(sorted(self.flushed))}")
        if not self.seen and self.settings.seconds is not None:
            row.status = "failed"
            row.problem = f"no case was called within {self.settings.seconds:g} s; give it more time"
        if self.settings.counterexamples:
            self._show(row)

    def _show(self, row: Row) -> None:
        """Add the failure that says most to the row, or one for each flag, as code."""
        telling = sorted(self.best.items(), key=lambda item: item[1].rank)
        for flag, failure in telling if self.settings.every_flag else telling[:1]:
            row.others.append(shown(self.implementation, flag, failure, self.settings, self._is_unexpected))
        if row.others:
            most = row.others.pop(0)
            row.problem, row.counterexample = most.problem, most.counterexample
            row.flag = most.advice or flag_to_advise(most.flag, row.failures, most.numbers)
