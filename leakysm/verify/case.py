"""A case: one call of an operation, written down with exact numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from leakysm.ops.registry import OPERATIONS, Operation
from leakysm.verify.bounds import Exact

DTYPES = ("float16", "float32", "float64")
Oracle = Callable[..., tuple[Exact, ...]]


class Sample(Protocol):
    """What is looked at of a case that is too large for exact arithmetic everywhere."""

    def cut(self, case: Case) -> Case:
        """The case cut down to the elements that are looked at."""

    def value(self, oracle: Oracle, case: Case) -> tuple[Exact, ...]:
        """The exact results that are looked at."""

    def vjp(self, oracle: Oracle, case: Case) -> tuple[Exact, ...]:
        """The exact gradients that are looked at."""


@dataclass(frozen=True, eq=False)
class Case:
    """One call: arguments in positional order (float64 arrays, integer labels, counts), parameters, cotangent dy.

    It is used in every dtype that holds all of its numbers exactly. flags: keys of `leakysm.verify.flags.FLAGS`;
    note: why the case exists. own: what it checks is promised by this package only, not asked of others. one_way: the
    dtypes in which all roundings may go one way, so that the worst bound judges. stored: whether the reference vectors
    hold it; large cases are left out. sample: what is looked at of a case that is too large; everything by default.
    """

    operation: str
    name: str
    arguments: tuple[Any, ...]
    dy: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    note: str = ""
    own: bool = False
    one_way: tuple[str, ...] = ()
    stored: bool = True
    sample: Sample | None = None

    @property
    def id(self) -> str:
        return f"{self.operation}/{self.name}"

    @property
    def definition(self) -> Operation:
        return OPERATIONS[self.operation]

    @cached_property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes in which every number of the case is representable."""
        return tuple(dtype for dtype in DTYPES if all(_representable(a, dtype) for a in (*self.floats, self.dy)))

    @property
    def floats(self) -> list[Any]:
        """The arguments that are arrays of floats."""
        return [self.arguments[at] for at in self.definition.array_places]

    def refusable(self, dtype: str) -> tuple[type[Exception], ...]:
        """What others may raise in place of an answer.

        Some refuse eps = 0, NaN, other than 2 or 4 axes, a parameter that the dtype does not hold, or own classes.
        """
        axes = "batch_norm" in self.operation and np.ndim(self.arguments[0]) not in (2, 4)
        largest = float(np.finfo(dtype).max)
        beyond = any(largest < abs(number) < np.inf for number in _numbers(self.parameters.values()))
        if axes or beyond or "own-class" in self.flags or any(np.isnan(a).any() for a in self.floats):
            return (Exception,)
        return (ValueError, NotImplementedError) if self.parameters.get("eps") == 0 else ()

    @property
    def size(self) -> int:
        """How many numbers it takes to write the case down."""
        return sum(int(np.size(a)) for a in (*self.arguments, self.dy))


def _numbers(values: Iterable[Any]) -> Iterator[float]:
    """The floats among parameters, and among those of a metric or a restriction."""
    for value in values:
        if isinstance(value, float):
            yield value
        yield from _numbers(getattr(value, "parameters", {}).values())


def _representable(values: Any, dtype: str) -> bool:
    array = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        return bool(np.array_equal(array.astype(dtype).astype(np.float64), array, equal_nan=True))
