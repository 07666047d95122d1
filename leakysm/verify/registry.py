"""What verification knows of an operation, beside `leakysm.ops.registry`: oracle, bounds, cases, strategy.

Checks, error tables, reference vectors, conformance and documentation are generated from these entries: registering an
operation there and an entry here is all there is to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from leakysm.ops.registry import OPERATIONS, Operation
from leakysm.verify.bounds import Bound, Exact, Precision

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

DTYPES = ("float16", "float32", "float64")


@dataclass(frozen=True, eq=False)
class Case:
    """One call: arguments in positional order (float64 arrays, integer labels, counts), parameters, cotangent dy.

    It is used in every dtype that holds all of its numbers exactly. flags: keys of `leakysm.verify.flags.FLAGS`;
    note: why the case exists. own: what it checks is promised by this package only, not asked of others.
    """

    operation: str
    name: str
    arguments: tuple[Any, ...]
    dy: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    note: str = ""
    own: bool = False

    @property
    def id(self) -> str:
        return f"{self.operation}/{self.name}"

    @property
    def definition(self) -> Operation:
        return OPERATIONS[self.operation]

    @cached_property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes in which every number of the case is representable."""
        kinds = self.definition.arguments
        floats = [a for a, kind in zip(self.arguments, kinds, strict=True) if kind.kind == "array"]
        return tuple(dtype for dtype in DTYPES if all(_representable(a, dtype) for a in (*floats, self.dy)))

    @property
    def size(self) -> int:
        """How many numbers it takes to write the case down."""
        return sum(int(np.size(a)) for a in (*self.arguments, self.dy))


def _representable(values: Any, dtype: str) -> bool:
    array = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        return bool(np.array_equal(array.astype(dtype).astype(np.float64), array, equal_nan=True))


@dataclass(frozen=True)
class Entry:
    """One operation's verification.

    value(*arguments, **parameters) and vjp(*arguments, dy, **parameters) give an `Exact` for each output or gradient;
    bounds: by output name, and "d" + argument name; sizes(*arguments, **parameters): the numbers in the bounds' k.
    choices(tolerance, floor, *arguments, **parameters): further keywords for vjp, one dict for every combination of
    discrete choices open to a computation that knows the choices' arguments to tolerance * scale + floor, none if they
    are too many to compare with. twin(**parameters): the operation whose bits these parameters promise, if any.
    """

    operation: str
    value: Callable[..., tuple[Exact, ...]]
    vjp: Callable[..., tuple[Exact, ...]]
    bounds: Mapping[str, Bound]
    sizes: Callable[..., Mapping[str, int]]
    cases: Callable[[], Sequence[Case]]
    strategy: Callable[[], SearchStrategy[Case]]
    choices: Callable[..., Sequence[Mapping[str, Any]]] | None = None
    twin: Callable[..., str | None] = lambda **_: None

    @property
    def definition(self) -> Operation:
        return OPERATIONS[self.operation]

    @property
    def gradients(self) -> tuple[str, ...]:
        """The names of what the vjp returns."""
        return tuple("d" + a.name for a in self.definition.arguments if a.kind == "array")

    @cached_property
    def truths(self) -> tuple[Truth, ...]:
        """The fixed cases with what is true of them, worked out once."""
        return tuple(Truth(self, case) for case in self.cases())


class Truth:
    """A case and the exact results, computed when first asked for."""

    def __init__(self, entry: Entry, case: Case):
        self.entry, self.case = entry, case
        self._open: dict[float, list[tuple[Exact, ...]] | None] = {}

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        return self.entry.sizes(*self.case.arguments, **self.case.parameters)

    def factor(self, output: str) -> float:
        """k of an output or gradient for this case."""
        return self.entry.bounds[output].factor(self.sizes)

    @cached_property
    def value(self) -> tuple[Exact, ...]:
        return self.entry.value(*self.case.arguments, **self.case.parameters)

    @cached_property
    def vjp(self) -> tuple[Exact, ...]:
        return self.entry.vjp(*self.case.arguments, self.case.dy, **self.case.parameters)

    def alternatives(self, precision: Precision) -> list[tuple[Exact, ...]] | None:
        """The exact gradients for the other discrete choices that this precision leaves open; None if too many."""
        if self.entry.choices is None:
            return []
        if precision.eps not in self._open:
            self._open[precision.eps] = self._open_vjps(precision)
        return self._open[precision.eps]

    def _open_vjps(self, precision: Precision) -> list[tuple[Exact, ...]] | None:
        assert self.entry.choices is not None
        tolerance = self.factor("y") * precision.eps
        floor = self.value[0].terms * precision.smallest_normal
        choices = self.entry.choices(tolerance, floor, *self.case.arguments, **self.case.parameters)
        if not choices:
            return None
        call = (*self.case.arguments, self.case.dy)
        return [self.entry.vjp(*call, **self.case.parameters, **chosen) for chosen in choices[1:]]


ENTRIES: dict[str, Entry] = {}


def register(entry: Entry) -> Entry:
    """Add an entry; a name that is taken, or that `leakysm.ops.registry` does not know, is a ValueError."""
    if entry.operation in ENTRIES:
        raise ValueError(f"operation {entry.operation} has a verification entry already; one is expected")
    if entry.operation not in OPERATIONS:
        raise ValueError(f"operation {entry.operation} is not in leakysm.ops.registry; register it there first")
    missing = [n for n in (*entry.definition.outputs, *entry.gradients) if n not in entry.bounds]
    if missing:
        raise ValueError(f"operation {entry.operation} has no bound for {', '.join(missing)}; one for each is expected")
    ENTRIES[entry.operation] = entry
    return entry


def unregister(operation: str) -> None:
    """Take an entry out again (KeyError if it is not there)."""
    del ENTRIES[operation]
