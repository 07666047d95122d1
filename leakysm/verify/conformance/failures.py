"""Failures: which of them says most, and how it is made small and shown in words and as code."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from leakysm.verify.adapters.implementation import Implementation, NotOffered
from leakysm.verify.calls import Manner, plainly
from leakysm.verify.case import Case
from leakysm.verify.checks import Outcome, judge
from leakysm.verify.conformance.rows import ShownFailure
from leakysm.verify.conformance.settings import Settings
from leakysm.verify.counterexample import shown as counterexample
from leakysm.verify.flags import rank
from leakysm.verify.registry import Truth
from leakysm.verify.shrink import SHRUNK, shrink


@dataclass(frozen=True)
class Failure:
    """A case that failed, and its outcome.

    A low rank says much: plain flags come first, then side effects, then small cases.
    """

    truth: Truth
    outcome: Outcome
    flags: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, bool, int]:
        return rank(self.flags), self.outcome.kind != "impure", self.truth.case.size


def shown(
    implementation: Implementation, flag: str, failure: Failure, settings: Settings, wanted: Callable[[Outcome], bool]
) -> ShownFailure:
    """The failure, made small, in words and as code. wanted: whether an outcome is an unexpected failure."""
    truth, outcome = _shrunk(implementation, failure, settings, wanted)
    outcome, text, alone = counterexample(implementation, truth, outcome, strict=settings.strict)
    name = outcome.id.replace(f"/{SHRUNK}", "/")  # as in a file of expected failures
    small = "" if name == outcome.id else " (made small)"
    advice = "raised" if outcome.kind == "raised" else None if alone else "purity"
    return ShownFailure(flag, f"{name}{small}: {outcome.problem}", text, truth.case.size, advice)


def _shrunk(
    implementation: Implementation, failure: Failure, settings: Settings, wanted: Callable[[Outcome], bool]
) -> tuple[Truth, Outcome]:
    """A smaller case that fails in the same dtype, part and manner, and its outcome."""
    outcome, manner = failure.outcome, failure.outcome.manner or plainly(failure.truth.case)
    manner, entry = replace(manner, purity=outcome.kind == "impure"), failure.truth.entry

    def same(other: Outcome) -> bool:
        return other.kind == outcome.kind and (outcome.kind == "numbers" or _words(other) == _words(outcome))

    def failures(case: Case) -> list[Outcome]:
        if outcome.dtype not in case.dtypes or not manner.fits(case):
            return []
        outcomes = judged(implementation, Truth(entry, case), outcome.dtype, outcome.part, manner, settings)
        return [o for o in outcomes if same(o) and wanted(o)]

    case = shrink(failure.truth.case, lambda smaller: bool(failures(smaller)), settings.shrink_seconds)
    with implementation.arrays.compiling_as_users_do():
        remaining = failures(case)
    return (Truth(entry, case), remaining[0]) if remaining else (failure.truth, outcome)


def judged(
    implementation: Implementation, truth: Truth, dtype: str, part: str, manner: Manner, settings: Settings
) -> list[Outcome]:
    """The outcomes of one call; none if the implementation does not offer it."""
    try:
        return list(judge(implementation, truth, dtype, part, strict=settings.strict, manner=manner))
    except NotOffered:
        return []


def _words(outcome: Outcome) -> str:
    """The problem without its numbers, since an exception often names the sizes of its arrays."""
    return re.sub(r"\d+", "", outcome.problem or "")
