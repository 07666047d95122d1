"""Check one case of an implementation in one dtype: judge every output and gradient by its bound, and the purity."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from leakysm.errors import text_of
from leakysm.verify.adapters.arrays import HostArray, WrongResult
from leakysm.verify.adapters.implementation import Implementation
from leakysm.verify.bounds import Exact, Precision
from leakysm.verify.calls import Call, Manner, plainly
from leakysm.verify.case import Case
from leakysm.verify.judging import judged
from leakysm.verify.purity import Impurity, observed
from leakysm.verify.registry import Entry, Truth


@dataclass(frozen=True)
class Outcome:
    """The outcome of one output of one call. ratio: largest error / bound; inf for NaN or an exception.

    `roundings`: the same error in units of eps * scale. `not_judged`: how many elements could not be judged. `flushed`:
    whether it is right only for a platform that reads subnormal inputs as 0.
    `problem`: None if all holds, else what is wrong; `kind`: what kind of thing the problem is.
    """

    case: Case
    dtype: str
    part: str
    output: str
    ratio: float
    roundings: float
    problem: str | None = None
    not_judged: int = 0
    kind: Literal["numbers", "raised", "result", "promise", "impure"] = "numbers"
    manner: Manner | None = None
    impurity: Impurity | None = None
    flushed: bool = False

    @property
    def failed(self) -> bool:
        return self.problem is not None

    @property
    def id(self) -> str:
        """operation/case/dtype/output, by which an expected failure is named."""
        return f"{self.case.id}/{self.dtype}/{self.output}"


def names_of(truth: Truth, part: str) -> tuple[str, ...]:
    """The names of the outputs, or of the gradients."""
    return tuple(truth.entry.definition.outputs) if part == "value" else truth.entry.gradients


def judge(
    implementation: Implementation, truth: Truth, dtype: str, part: str, *, strict: bool, manner: Manner | None = None
) -> Iterator[Outcome]:
    """One outcome for each output of the value, or each gradient, and one for an impurity. NotOffered passes through.

    strict: also check what only this package promises: the same bits twice, the bits of the entry's twin, exact zeros
    where every term is 0, and the left derivative where a distance is exactly at the threshold.
    """
    case, manner = truth.case, manner or plainly(truth.case)
    names = names_of(truth, part)
    call = Call(implementation, case, dtype, part, manner)
    seen = observed(call)
    twin = None
    try:
        if seen.raised is not None:
            raise seen.raised
        if strict:
            # In float32 alone, to save time.
            again = seen.again or (call.results() if dtype == "float32" else seen.results)
            twin = _twin(implementation, truth, dtype, part, manner)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        if (isinstance(problem, case.refusable(dtype)) or call.way.refusable) and not strict:
            return
        wrong = isinstance(problem, WrongResult)
        text = str(problem) if wrong else raised(problem)
        kind: Literal["result", "raised"] = "result" if wrong else "raised"
        yield Outcome(case, dtype, part, names[0], np.inf, 0.0, text, kind=kind, manner=manner)
        return
    results, impurity = seen.results, seen.impurity
    outcomes = list(judge_numbers(truth, dtype, part, results, strict=strict, manner=manner))
    for at, outcome in enumerate(outcomes):
        promised = strict and not outcome.failed
        broken = _own_promise(results[at], again[at], (twin or results)[at]) if promised else None
        yield outcome if broken is None else replace(outcome, problem=broken, kind="promise")
    if impurity is not None:
        yield Outcome(case, dtype, part, names[0], np.inf, 0.0, impurity.problem, 0, "impure", manner, impurity)


def judge_numbers(
    truth: Truth, dtype: str, part: str, results: Sequence[HostArray], *, strict: bool, manner: Manner | None = None
) -> Iterator[Outcome]:
    """The numeric part: the results of a call, an outcome for each; one for all if they are of the wrong kind."""
    case, names, precision = truth.case, names_of(truth, part), Precision(dtype)
    truth = truth.with_rounded_parameters(precision)
    exacts = truth.value if part == "value" else truth.vjp
    misshapen = _misshapen(results, exacts, names, dtype)
    if misshapen is not None:
        yield Outcome(case, dtype, part, names[0], np.inf, 0.0, misshapen, kind="result", manner=manner)
        return
    verdicts = judged(truth, part, precision, results, "ours" if strict else "any", left=strict)
    for name, result, verdict in zip(names, results, verdicts, strict=True):
        wrong = _problem(result, verdict.exact, verdict.ratio) or (_not_zero(result, verdict.exact) if strict else None)
        worst, units = float(verdict.ratio.max(initial=0)), float(verdict.roundings.max(initial=0))
        yield Outcome(
            case, dtype, part, name, worst, units, wrong, verdict.not_judged, manner=manner, flushed=verdict.flushed
        )


def _misshapen(results: Sequence[HostArray], exacts: Sequence[Exact], names: Sequence[str], dtype: str) -> str | None:
    if len(results) != len(exacts):
        return f"returned {len(results)} arrays; {len(exacts)} are expected ({', '.join(names)})"
    for name, result, exact in zip(names, results, exacts, strict=True):
        if result.shape != exact.shape:
            return f"{name} has shape {result.shape}; {exact.shape} is expected"
        if result.dtype != np.dtype(dtype):
            return f"{name} has dtype {result.dtype}; {dtype} is expected"
    return None


def raised(problem: BaseException) -> str:
    """An exception in one line."""
    first = next(iter(text_of(problem).splitlines()), "")
    return f"raised {type(problem).__name__}: {first[:160]}".rstrip(": ")


def _problem(result: HostArray, exact: Exact, ratio: Any) -> str | None:
    if not ratio.size or ratio.max() <= 1:
        return None
    at = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
    place = f"[{', '.join(str(int(i)) for i in exact.place(at))}]" if at else ""
    result = exact.pick(result)
    size = f"{ratio[at]:.3g} times the bound" if np.isfinite(ratio[at]) else "beyond any bound"
    return f"{place} is {float(result[at])!r}; {float(exact.high[at])!r} is exact: the error is {size}".lstrip()


def _not_zero(result: HostArray, exact: Exact) -> str | None:
    if np.any(exact.zero & (exact.pick(result) != 0)):
        return "is not exactly 0 where every term is 0"
    return None


def _twin(
    implementation: Implementation, truth: Truth, dtype: str, part: str, manner: Manner
) -> tuple[HostArray, ...] | None:
    """The results of the operation whose bits these parameters promise; None if there is none, or it is not offered."""
    name = truth.entry.twin(**truth.case.parameters)
    if name is None or not implementation.offers(name, part):
        return None
    twin = replace(truth.case, operation=name, parameters={})
    return Call(implementation, twin, dtype, part, manner).results()


def _own_promise(result: HostArray, repeat: HostArray, twin: HostArray) -> str | None:
    if result.tobytes() != repeat.tobytes():
        return "the same call gave other bits the second time"
    if result.tobytes() != twin.tobytes():
        return "has other bits than the distance without a restriction"
    return None


def draw(entry: Entry, ends: Callable[[Case], bool], *, examples: int, seed: int = 0, calls: int | None = None) -> None:
    """Draw cases by the entry's strategy until `ends(case)` is true. No case is tried twice.

    calls: the number of different shapes and parameters, for a library that compiles for each of them; None: any.
    """
    import hypothesis
    from hypothesis.errors import NoSuchExample

    tried: set[bytes] = set()
    kinds: set[str] = set()
    ended = False

    def visit(case: Case) -> bool:
        nonlocal ended
        key = b"".join(np.asarray(a).tobytes() for a in (*case.arguments, case.dy)) + repr(case.parameters).encode()
        kind = repr(([np.shape(a) or a for a in case.arguments], case.parameters))
        known = calls is None or kind in kinds or len(kinds) < calls
        if not ended and known and key not in tried and len(tried) < examples:
            tried.add(key)
            kinds.add(kind)
            ended = ends(case)
        return False  # failures are kept and shrunk elsewhere

    settings = hypothesis.settings(
        # About half of Hypothesis's cases are repetitions. With `calls`, many others have shapes that are not wanted.
        max_examples=(2 if calls is None else 4) * examples,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
        report_multiple_bugs=False,
    )
    with contextlib.suppress(NoSuchExample):
        hypothesis.find(entry.strategy(), visit, settings=settings, random=random.Random(seed))
