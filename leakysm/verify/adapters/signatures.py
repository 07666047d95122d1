"""How to call a function that is not ours: its keywords, their names, and whether it can be called at all."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leakysm.errors import UserError, suggestion
from leakysm.ops.metrics import SquaredEuclidean
from leakysm.ops.registry import OPERATIONS
from leakysm.verify.adapters.implementation import NotOffered


@dataclass(frozen=True)
class Names:
    """A module's own names of the operations' parameters: (operation or "", our name) -> its name."""

    table: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def read(cls, entries: Iterable[str]) -> Names:
        """Read entries THEIRS=OURS or OPERATION.THEIRS=OURS; UserError for anything else."""
        table = {}
        for entry in entries:
            left, equals, ours = (part.strip() for part in entry.partition("="))
            operation, _, theirs = left.rpartition(".")
            if not equals or not theirs.isidentifier():
                raise UserError(f"map is {entry!r}; THEIRS=OURS is expected, such as t=threshold: write it so")
            if operation and operation not in OPERATIONS:
                raise UserError(
                    f"map is {entry!r}; no operation is called {operation!r}; {suggestion(operation, OPERATIONS)}"
                )
            known = [p for o in OPERATIONS.values() if operation in ("", o.name) for p in o.parameters]
            if ours not in known:
                of = f" of {operation}" if operation else ""
                raise UserError(
                    f"map is {entry!r}; {ours!r} is not a parameter{of}; "
                    + (suggestion(ours, dict.fromkeys(known)) if known else "it has none: leave this out")
                )
            table[operation, ours] = theirs
        return cls(table)

    def theirs(self, operation: str, ours: str) -> str:
        """The module's name of a parameter; our name if no other is given."""
        return self.table.get((operation, ours)) or self.table.get(("", ours)) or ours


def keywords(
    function: Callable[..., Any], operation: str, parameters: Mapping[str, Any], names: Names
) -> dict[str, Any]:
    """The keywords of a call: the parameters, and our default of each further one that the function requires.

    NotOffered if the function has no parameter for a value that is not the default.
    """
    signature, taken = _signature(function), _taken(function)
    needed = [p.name for p in signature.parameters.values() if p.default is p.empty] if signature else []
    own = {p: default(operation, p) for p in OPERATIONS[operation].parameters if names.theirs(operation, p) in needed}
    parameters = {**{p: value for p, value in own.items() if value is not inspect.Parameter.empty}, **parameters}
    chosen = {}
    for ours, value in parameters.items():
        theirs = names.theirs(operation, ours)
        if taken is None or theirs in taken:
            # A new string, like one that is read from a file: a function that compares it with `is` is wrong.
            chosen[theirs] = "".join([*value]) if isinstance(value, str) else value
        elif value != default(operation, ours):
            raise NotOffered(f"{operation} does not take {ours}")
    return chosen


def misfit(function: Callable[..., Any], operation: str, part: str, names: Names) -> str | None:
    """Why the function cannot be called like the operation, with both signatures and the mend; None if it can."""
    label = operation + ("_vjp" if part == "vjp" else "")
    if inspect.isclass(function):
        return f"{label} is a class; a function is expected: give an instance, {label} = {function.__name__}(...)"
    signature, taken = _signature(function), _taken(function)
    if signature is None:
        return None
    definition = OPERATIONS[operation]
    theirs = dict.fromkeys(names.theirs(operation, p) for p in definition.parameters)
    given = theirs if taken is None else {p: None for p in theirs if p in taken}
    required = [p for p in definition.parameters if default(operation, p) is inspect.Parameter.empty]
    lacking = [p for p in required if names.theirs(operation, p) not in given]
    arguments = [a.name for a in definition.arguments] + (["dy"] if part == "vjp" else [])
    try:
        signature.bind(*arguments, **given)
        if not lacking:
            return None
    except TypeError:
        pass
    unmapped = [name for name in taken or () if name not in given][len(arguments) :]
    needed = f"({', '.join([*arguments, *required])})"
    return f"{label} takes {_written(signature)}; {needed} is needed: {_mend(unmapped, lacking)}"


def _mend(unmapped: Sequence[str], lacking: Sequence[str]) -> str:
    """What to do about parameters that a function lacks, if it has others that stand for none of ours."""
    pairs = [f"--map {t}={o}" for t, o in zip(unmapped, lacking, strict=False)]
    return f"rename its parameters, or {' '.join(pairs)}" if pairs else "give it these parameters"


def unchecked(function: Callable[..., Any], operation: str, names: Names) -> list[str]:
    """The parameters that the function lacks. They are checked at their defaults only."""
    taken = _taken(function)
    if taken is None:
        return []
    lacking = [p for p in OPERATIONS[operation].parameters if names.theirs(operation, p) not in taken]
    return [f"it takes no {p}: checked at {default(operation, p)!r} only" for p in lacking]


def default(operation: str, parameter: str) -> Any:
    """A parameter's default; the loss's distance is squared Euclidean where a function has no choice of it."""
    if parameter == "distance":
        return SquaredEuclidean()
    return inspect.signature(OPERATIONS[operation].value).parameters[parameter].default


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """The function's signature; None if it has none, as some compiled functions."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _taken(function: Callable[..., Any]) -> list[str] | None:
    """The names of the function's parameters; None if it takes any keyword."""
    signature = _signature(function)
    if signature is None or any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return None
    return [p.name for p in signature.parameters.values() if p.kind is not p.VAR_POSITIONAL]


def _written(signature: inspect.Signature) -> str:
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
