"""A failing case as code that one can paste and run."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.verify.adapters.implementation import Implementation
from leakysm.verify.checks import Outcome
from leakysm.verify.registry import Truth

MOST_NUMBERS = 400  # beyond that, the code names the case instead of writing its numbers out


def code(implementation: Implementation, truth: Truth, outcome: Outcome) -> str:
    """Imports, the arguments with all their digits, the call, and what is wrong with its result."""
    case, definition = truth.case, truth.entry.definition
    imports, template, call = implementation.snippet(case.operation, outcome.part)
    lines = list(imports)
    names = [a.name for a in definition.arguments]
    values = dict(zip(names, case.arguments, strict=True))
    if outcome.part == "vjp":
        values["dy"] = case.dy
    if any(isinstance(v, np.ndarray) and not np.all(np.isfinite(v)) for v in values.values()):
        lines.append("from math import inf, nan")
    parameters = implementation.keywords(case.operation, outcome.part, case.parameters)
    if "distance" in parameters:
        lines.append("from leakysm import Cosine, Euclidean, LeakySquaredEuclidean, SquaredEuclidean")
    lines += _numbers(truth, values, template, outcome.dtype)
    keywords = [f"{name}={_literal(value)}" for name, value in parameters.items()]
    arrays = ", ".join(a.name for a in definition.arguments if a.kind == "array")
    filled = call.replace("{arguments_dy}", ", ".join([*names, "dy", *keywords]))
    filled = filled.replace("{arguments}", ", ".join(names + keywords)).replace("{arrays}", arrays)
    return "\n".join([*lines, *filled.splitlines(), f"# {outcome.output} {outcome.problem}"])


def _literal(value: Any) -> str:
    if isinstance(value, float) and not np.isfinite(value):
        return f'float("{value}")'
    return repr(value)


def _numbers(truth: Truth, values: dict[str, Any], template: str, dtype: str) -> list[str]:
    if truth.case.size > MOST_NUMBERS and truth.case.note and not truth.case.name.startswith("shrunk"):
        lines = ["from leakysm.verify.conformance import fixed_case", f'case = fixed_case("{truth.case.id}")']
        lines.append(f"{', '.join(n for n in values if n != 'dy')} = case.arguments")
        lines += ["dy = case.dy"] if "dy" in values else []
        return [*lines, "# NumPy arrays of float64; convert the floats to " + dtype]
    return [_assignment(name, value, template, dtype) for name, value in values.items()]


def _assignment(name: str, value: Any, template: str, dtype: str) -> str:
    if not isinstance(value, np.ndarray):
        return f"{name} = {value!r}"
    literal = repr(value.tolist()) if value.size else f"np.zeros({value.shape})"
    return template.format(name=name, values=literal, dtype=dtype if value.dtype.kind == "f" else "int64")
