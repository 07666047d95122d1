"""Write a failing case as code that a user can paste and run. The code is run before it is shown."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from leakysm import ops
from leakysm.ops import Metric, Restriction
from leakysm.verify.adapters.arrays import EXPANDED, WrongResult, kept, repeated
from leakysm.verify.adapters.implementation import Implementation, Snippet
from leakysm.verify.adapters.loading import load
from leakysm.verify.calls import Call, Manner, plainly
from leakysm.verify.case import Case
from leakysm.verify.checks import Outcome, judge_numbers, raised
from leakysm.verify.registry import Truth

MOST_NUMBERS = 400  # beyond that, the code names the case instead of writing its numbers out
SHORT = 10  # numbers that are listed even if all are the same
UNSHOWN = "# run on its own, this code does not show it: the failure depends on the calls before"


def shown(implementation: Implementation, truth: Truth, outcome: Outcome, *, strict: bool) -> tuple[Outcome, str, bool]:
    """The failure in the plainest manner that still shows it, its code, and whether the code alone shows it."""
    text = ""
    for manner in _manners(truth, outcome):
        candidate = replace(outcome, manner=manner)
        snippet, lines = _lines(implementation, truth, candidate)
        failure = _run(implementation, truth, candidate, snippet, lines, strict)
        text = "\n".join([*snippet.imports, snippet.load, *lines])
        if failure is not None:
            return failure, f"{text}\n{_comment(failure)}", True
    return outcome, f"{text}\n{_comment(outcome)}\n{UNSHOWN}", False


def _comment(outcome: Outcome) -> str:
    return f"# {outcome.output + ' ' if outcome.kind == 'numbers' else ''}{outcome.problem}"


def _manners(truth: Truth, outcome: Outcome) -> Iterator[Manner]:
    """The manners to try, the plainest first, that of the failure last."""
    manner, plain = outcome.manner or plainly(truth.case), plainly(truth.case)
    seen = []
    for way, layouts in itertools.product(("", manner.way), (plain.layouts, manner.layouts)):
        for compiled in dict.fromkeys((False, manner.compiled)):
            seen.append(replace(manner, layouts=layouts, compiled=compiled, way=way))
    yield from dict.fromkeys(seen)


def _lines(implementation: Implementation, truth: Truth, outcome: Outcome) -> tuple[Snippet, list[str]]:
    """The snippet, and all lines after the one that loads the implementation."""
    manner = outcome.manner or plainly(truth.case)
    call = Call(implementation, truth.case, outcome.dtype, outcome.part, manner)
    snippet = implementation.snippet(
        truth.case.operation, outcome.part, truth.case.parameters, outcome.dtype, way=manner.way
    )
    impurity = outcome.impurity
    lines = (
        _needed(call, snippet, impurity.modules if impurity else ())
        + _arguments(call, truth)
        + list(snippet.definitions)
    )
    function = snippet.call
    if traced := call.traced():
        lines.append(f"compiled = jax.jit(lambda {', '.join(traced)}: {snippet.call(call.names)})")

        def function(arguments: Any) -> str:
            return f"compiled({', '.join(a for a, n in zip(arguments, call.names, strict=True) if n in traced)})"

    if impurity is None:
        result = f"result = {function(call.names)}"
        if call.way.context is None:
            return snippet, [*lines, result]
        context, needed = call.way.context
        return snippet, [*lines, needed, f"with {context}:", f"    {result}"]
    lines += [f"before = {impurity.before}"] if impurity.before and "result" not in impurity.before else []
    lines.append(f"result = {function(call.names)}")
    lines += [f"before = {impurity.before}"] if impurity.before and "result" in impurity.before else []
    if impurity.again is not None:
        lines.append(f"repeated = {function([impurity.again[n] for n in call.names])}")
    if impurity.copied is not None:
        lines.append(f"right = {function([impurity.copied[n] for n in call.names])}")
    return snippet, [*lines, f"pure = {impurity.pure}"]


def _needed(call: Call, snippet: Snippet, modules: tuple[str, ...]) -> list[str]:
    lines = []
    if any(isinstance(h, np.ndarray) and not np.all(np.isfinite(h)) for h in call.hosts.values()):
        lines.append("from math import inf, nan")
    written = " ".join((snippet.keywords, *snippet.definitions))
    lines += [line for word, line in _classes(call.case) if f"{word}(" in written]
    lines += [f"import {m}" for m in modules if m not in ("numpy", call.arrays.name)]
    empty = any(isinstance(h, np.ndarray) and not h.size for h in call.hosts.values())
    if (empty or {"numpy", "pickle"} & set(modules)) and "import numpy as np" not in call.arrays.imports:
        lines.append("import numpy as np")
    return lines


def _classes(case: Case) -> list[tuple[str, str]]:
    """The classes of a case's distance and restriction: their names, and the lines that import them."""
    objects = [o for value in case.parameters.values() for o in (value, getattr(value, "restriction", None))]
    classes = {type(o) for o in objects if isinstance(o, Metric | Restriction)}
    modules = {c.__name__: "leakysm" if c.__name__ in ops.__all__ else c.__module__ for c in classes}
    return sorted((name, f"from {module} import {name}") for name, module in modules.items())


def _arguments(call: Call, truth: Truth) -> list[str]:
    """A line for each argument, and one more where it has another layout."""
    case, lines = truth.case, []
    long = case.size > MOST_NUMBERS and bool(case.note) and not case.name.startswith("shrunk")
    if long:
        lines += ["from leakysm.verify.conformance import fixed_case", f'case = fixed_case("{case.id}")']
    for at, (name, host) in enumerate(call.hosts.items()):
        if (twin := call.twin(name)) is not None:
            lines.append(f"{name} = {twin[1].format(twin[0])}")
            continue
        if not isinstance(host, np.ndarray):
            lines.append(f"{name} = {host!r}")
            continue
        dtype = call.dtype if host.dtype.kind == "f" else call.arrays.integers(call.dtype)
        layout = call.layouts[name]
        if layout == EXPANDED:
            lines.append(call.arrays.template.format(name=name, values=repr(repeated(host).tolist()), dtype=dtype))
            lines.append(f"{name} = {call.arrays.expanded.format(name, host.shape)}")
            continue
        values = f"case.arguments[{at}]" if long and at < len(case.arguments) else "case.dy" if long else _listed(host)
        lines.append(call.arrays.template.format(name=name, values=values, dtype=dtype))
        expression = call.arrays.layouts[layout]
        if host.ndim and expression != "{0}":
            lines.append(f"{name} = {expression.format(name)}")
        if call.preparation(name) != "{0}":
            lines.append(f"{name} = {call.preparation(name).format(name)}")
    if both := call.together():
        lines.append(f"{', '.join(both)} = {call.way.together.format(*both)}")
    return lines


def _listed(host: Any) -> str:
    """An array as nested lists; many equal numbers as [number] * length."""
    if not host.size:
        return f"np.zeros({host.shape})"
    if host.size < SHORT or host.tobytes() != np.full_like(host, host.flat[0]).tobytes():
        return repr(host.tolist())
    text = repr(host.flat[0].item())
    for length in reversed(host.shape):
        text = f"[{text}] * {length}"
    return text


def _afresh(name: str, offered: Any) -> Any:
    """What the code loads. A user's file is run again, so that what earlier calls have left in it does not count."""
    if not name.partition(":")[0].endswith(".py"):
        return offered
    return load(name)[0]


def _run(
    implementation: Implementation, truth: Truth, outcome: Outcome, snippet: Snippet, lines: list[str], strict: bool
) -> Outcome | None:
    """Run the code. Returns the failure that it shows, or None."""
    scope: dict[str, Any] = {"__name__": "counterexample"}
    text = "\n".join([*snippet.imports, *lines])
    arrays = implementation.arrays
    call = Call(implementation, truth.case, outcome.dtype, outcome.part, outcome.manner or plainly(truth.case))
    quiet = io.StringIO()
    try:
        with (
            call.around(),
            kept(arrays.watched_settings, arrays.scope),
            contextlib.redirect_stdout(quiet),
            contextlib.redirect_stderr(quiet),
        ):
            scope[snippet.owner] = _afresh(implementation.name, snippet.offered)
            exec(compile(text, "counterexample", "exec"), scope)
            results = arrays.hosted(scope["result"])
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        said = str(problem) if isinstance(problem, WrongResult) else raised(problem)
        return outcome if said == outcome.problem else None
    if outcome.kind == "impure":
        return outcome if not scope["pure"] else None
    if outcome.kind == "promise":
        return outcome
    judged = judge_numbers(truth, outcome.dtype, outcome.part, results, strict=strict, manner=outcome.manner)
    failed = [o for o in judged if o.failed]
    return next((o for o in failed if o.output == outcome.output), failed[0] if failed else None)
