"""One case against one implementation in one dtype: every output and gradient judged by its bound."""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leakysm.verify.adapters.implementation import HostArray, Implementation, NotOffered, WrongResult
from leakysm.verify.bounds import Exact, Precision
from leakysm.verify.judging import judged
from leakysm.verify.registry import Case, Entry, Truth

PARTS = ("value", "vjp")
_LAYOUTS = ("reversed", "strided", "transposed", "contiguous")


@dataclass(frozen=True)
class Outcome:
    """What one output of one call came to. ratio: largest error / bound, inf for what has no error (NaN, an exception).

    `roundings`: the same error in units of eps * scale. `problem`: None if the bound holds, else what is wrong.
    """

    case: Case
    dtype: str
    part: str
    output: str
    ratio: float
    roundings: float
    problem: str | None = None
    not_judged: int = 0

    @property
    def failed(self) -> bool:
        return self.problem is not None

    @property
    def id(self) -> str:
        """operation/case/dtype/output, by which an expected failure is named."""
        return f"{self.case.id}/{self.dtype}/{self.output}"


def arguments_in(case: Case, dtype: str) -> list[Any]:
    """The case's arguments in a dtype: read-only arrays, of every memory layout in turn."""
    from leakysm.verify.strategies import arranged

    kinds = [a.kind for a in case.definition.arguments]
    turn = len(case.name)
    return [
        arranged(np.asarray(a, dtype=dtype), _LAYOUTS[(turn + i) % len(_LAYOUTS)]) if kind == "array" else a
        for i, (a, kind) in enumerate(zip(case.arguments, kinds, strict=True))
    ]


def judge(implementation: Implementation, truth: Truth, dtype: str, part: str, *, strict: bool) -> Iterator[Outcome]:
    """One outcome for each output of the value, or each gradient. NotOffered passes through.

    strict: hold it to what only this package promises as well: the same bits twice, and as the entry's twin, exact
    zeros where every term is 0, and the left derivative where a distance is exactly at the threshold.
    """
    case, precision = truth.case, Precision(dtype)
    names = truth.entry.definition.outputs if part == "value" else truth.entry.gradients
    exacts = truth.value if part == "value" else truth.vjp
    try:
        results = _call(implementation, case, dtype, part)
        again = _call(implementation, case, dtype, part) if strict else results
        twin = _twin(implementation, truth, dtype, part) if strict else None
        _require_shapes(results, exacts, names, dtype)
    except NotOffered:
        raise
    except (Exception, SystemExit) as problem:
        text = str(problem) if isinstance(problem, WrongResult) else _raised(problem)
        yield Outcome(case, dtype, part, names[0], np.inf, 0.0, text)
        return
    for name, found, repeat, same, verdict in zip(
        names, results, again, twin or results, judged(truth, part, precision, results, "ours" if strict else "any", left=strict), strict=True
    ):
        ratio, exact = verdict.ratio, verdict.exact
        wrong = _problem(found, exact, ratio) or (_own_promise(found, repeat, same, exact) if strict else None)
        worst, units = float(ratio.max(initial=0)), float(verdict.roundings.max(initial=0))
        yield Outcome(case, dtype, part, name, worst, units, wrong, verdict.not_judged)


def _call(implementation: Implementation, case: Case, dtype: str, part: str) -> tuple[HostArray, ...]:
    arguments = arguments_in(case, dtype)
    dy = np.asarray(case.dy, dtype=dtype)
    before = [np.array(a) for a in (*arguments, dy)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if part == "value":
            results = implementation.value(case.operation, arguments, case.parameters)
        else:
            results = implementation.vjp(case.operation, arguments, dy, case.parameters)
    if any(
        not np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(before, (*arguments, dy), strict=True)
    ):
        raise WrongResult("changed its arguments; they are expected to stay as they were")
    return results


def _require_shapes(results: Sequence[HostArray], exacts: Sequence[Exact], names: Sequence[str], dtype: str) -> None:
    if len(results) != len(exacts):
        raise WrongResult(f"returned {len(results)} arrays; {len(exacts)} are expected ({', '.join(names)})")
    for name, result, exact in zip(names, results, exacts, strict=True):
        if result.shape != exact.shape:
            raise WrongResult(f"{name} has shape {result.shape}; {exact.shape} is expected")
        if result.dtype != np.dtype(dtype):
            raise WrongResult(f"{name} has dtype {result.dtype}; {dtype} is expected")


def _raised(problem: BaseException) -> str:
    first = next(iter(str(problem).splitlines()), "")
    return f"raised {type(problem).__name__}: {first[:160]}".rstrip(": ")


def _problem(found: HostArray, exact: Exact, ratio: Any) -> str | None:
    if not ratio.size or ratio.max() <= 1:
        return None
    at = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    place = f"[{', '.join(str(int(i)) for i in exact.place(at))}]" if at else ""
    found = exact.pick(found)
    size = f"{ratio[at]:.3g} times the bound" if np.isfinite(ratio[at]) else "beyond any bound"
    return f"{place} is {float(found[at])!r}; {float(exact.high[at])!r} is exact: the error is {size}".lstrip()


def _twin(implementation: Implementation, truth: Truth, dtype: str, part: str) -> tuple[HostArray, ...] | None:
    """What the operation gives whose bits the parameters promise; None if there is none, or it is not offered."""
    name = truth.entry.twin(**truth.case.parameters)
    if name is None or not implementation.offers(name, part):
        return None
    return _call(implementation, replace(truth.case, operation=name, parameters={}), dtype, part)


def _own_promise(found: HostArray, repeat: HostArray, twin: HostArray, exact: Exact) -> str | None:
    if found.tobytes() != repeat.tobytes():
        return "the same call gave other bits the second time"
    if found.tobytes() != twin.tobytes():
        return "has other bits than the distance without a restriction"
    if np.any(exact.zero & (exact.pick(found) != 0)):
        return "is not exactly 0 where every term is 0"
    return None


def draw(entry: Entry, fails: Callable[[Case], bool], *, examples: int, seed: int = 0) -> None:
    """Cases of the entry's strategy, until one fails; a case that was drawn before is not tried again."""
    import hypothesis
    from hypothesis.errors import NoSuchExample

    tried: set[bytes] = set()
    failed = False

    def visit(case: Case) -> bool:
        nonlocal failed
        key = b"".join(np.asarray(a).tobytes() for a in (*case.arguments, case.dy)) + repr(case.parameters).encode()
        if not failed and key not in tried:
            tried.add(key)
            failed = fails(case)
        return False  # it is we who keep and shrink what failed

    settings = hypothesis.settings(
        max_examples=2 * examples,  # Hypothesis repeats itself about as often as not
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
        report_multiple_bugs=False,
    )
    with contextlib.suppress(NoSuchExample):
        hypothesis.find(entry.strategy(), visit, settings=settings, random=random.Random(seed))
