"""The registry of operations. Each is described once, for checks, tables, vectors and documentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Argument:
    """A positional argument: "array" is differentiable, "labels" are class numbers, "count" is a whole number."""

    name: str
    kind: Literal["array", "labels", "count"] = "array"


@dataclass(frozen=True)
class Operation:
    """One operation: a value and its vector-Jacobian product.

    value(*arguments, **parameters) returns the outputs. vjp(*arguments, dy, **parameters) returns one gradient for each
    array argument, in order; a bare array if there is only one. dy is the cotangent of the first output. Its entries
    are 0 or normal numbers, of magnitudes at which no intermediate product overflows or underflows.
    domain says what the arguments may be. kinks takes what `value` takes, and returns the discrete choices made (masks,
    argmax). It is None for a smooth operation.
    """

    name: str
    value: Callable[..., Any]
    vjp: Callable[..., Any]
    arguments: tuple[Argument, ...]
    domain: str
    parameters: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("y",)
    kinks: Callable[..., dict[str, Any]] | None = None

    @property
    def array_places(self) -> tuple[int, ...]:
        """The places of the arguments that are arrays of floats."""
        return tuple(at for at, argument in enumerate(self.arguments) if argument.kind == "array")


OPERATIONS: dict[str, Operation] = {}


def register(operation: Operation) -> Operation:
    """Add an operation; a name that is taken is a ValueError."""
    if operation.name in OPERATIONS:
        raise ValueError(f"operation {operation.name} is registered already; a new name is expected")
    OPERATIONS[operation.name] = operation
    return operation


def arrays(*names: str) -> tuple[Argument, ...]:
    """Differentiable arguments by name."""
    return tuple(Argument(name) for name in names)
