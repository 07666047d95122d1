"""What verification knows of an operation, beside `leakysm.ops.registry`: oracle, bounds, cases, strategy.

Checks, error tables, reference vectors, conformance and documentation are generated from these entries: registering an
operation there and an entry here is all there is to do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from leakysm.ops.registry import OPERATIONS, Operation
from leakysm.verify.bounds import Bound, Exact, Order, Precision, Severity, Sizes
from leakysm.verify.case import Case
from leakysm.verify.oracle.choices import Doubt, OpenGradient
from leakysm.verify.precise import all_digits, arithmetic

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True)
class Entry:
    """One operation's verification.

    value(*arguments, **parameters) and vjp(*arguments, dy, **parameters) give an `Exact` for each output or gradient;
    bounds: by output name, and "d" + argument name; sizes(*arguments, **parameters): the numbers in the bounds' r.
    A distance's vjp also takes only=0 or only=1, for one gradient alone: cases of which a sample is looked at need it.
    choice: how well a computation knows the argument of a discrete choice. open_gradients(doubt, *arguments, dy,
    **parameters): what open choices allow each gradient; None for a gradient without any, one None for all if too
    many are open. twin(**parameters): the operation whose bits these parameters promise, if any.
    """

    operation: str
    value: Callable[..., tuple[Exact, ...]]
    vjp: Callable[..., tuple[Exact, ...]]
    bounds: Mapping[str, Bound]
    sizes: Callable[..., Sizes]
    cases: Callable[[], Sequence[Case]]
    strategy: Callable[[], SearchStrategy[Case]]
    choice: Bound | None = None
    open_gradients: Callable[..., Sequence[OpenGradient | None] | None] | None = None
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
        self._open: dict[tuple[str, Order], Sequence[OpenGradient | None] | None] = {}
        self._other: dict[tuple[str, str], Truth] = {}

    @cached_property
    def sizes(self) -> Sizes:
        return self.entry.sizes(*self.case.arguments, **self.case.parameters)

    def severity(self, precision: Precision, order: Order) -> Severity:
        """Which bound judges the case in a dtype, for an implementation that adds in this order."""
        return Severity(order, usual=precision.dtype not in self.case.one_way)

    def factor(self, output: str, severity: Severity) -> float:
        """k of an output or gradient for this case."""
        return self.entry.bounds[output].factor(self.sizes, severity)

    @cached_property
    def value(self) -> tuple[Exact, ...]:
        with self._arithmetic():
            if self.case.sample is not None:
                return self.case.sample.value(self.entry.value, self.case)
            return self.entry.value(*self.case.arguments, **self.case.parameters)

    @cached_property
    def vjp(self) -> tuple[Exact, ...]:
        with self._arithmetic():
            if self.case.sample is not None:
                return self.case.sample.vjp(self.entry.vjp, self.case)
            return self.entry.vjp(*self.case.arguments, self.case.dy, **self.case.parameters)

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        with arithmetic(), all_digits() if self.case.stored else nullcontext():
            yield

    def open_gradients(self, precision: Precision, order: Order) -> Sequence[OpenGradient | None] | None:
        """What discrete choices leave open of each gradient in this precision; None if it is too much to be judged."""
        if self.entry.open_gradients is None or self.entry.choice is None:
            return (None,) * len(self.entry.gradients)
        if self.case.sample is not None:  # such cases keep clear of every threshold
            return (None,) * len(self.entry.gradients)
        key = precision.dtype, order
        if key not in self._open:
            k = self.entry.choice.factor(self.sizes, self.severity(precision, order))
            call = (Doubt(k, precision), *self.case.arguments, self.case.dy)
            with self._arithmetic():
                self._open[key] = self.entry.open_gradients(*call, **self.case.parameters)
        return self._open[key]

    def with_rounded_parameters(self, precision: Precision) -> Truth:
        """The truth of the call with its parameters rounded to the compute dtype, as every computation rounds them."""
        parameters = {name: _rounded(value, precision) for name, value in self.case.parameters.items()}
        if parameters == self.case.parameters:
            return self
        return self._sibling("parameters", precision.compute.dtype.name, replace(self.case, parameters=parameters))

    def with_subnormals_flushed(self, precision: Precision) -> Truth | None:
        """The truth of the call with subnormal inputs taken for 0, as some platforms read them; None without any."""
        tiny = precision.smallest_normal
        if not any(_subnormal(a, tiny).any() for a in (*self.case.floats, np.asarray(self.case.dy))):
            return None
        arguments = [
            np.where(_subnormal(a, tiny), 0.0, a) if kind.kind == "array" else a
            for a, kind in zip(self.case.arguments, self.case.definition.arguments, strict=True)
        ]
        dy = np.where(_subnormal(self.case.dy, tiny), 0.0, self.case.dy)
        return self._sibling("flushed", precision.dtype, replace(self.case, arguments=tuple(arguments), dy=dy))

    def _sibling(self, what: str, dtype: str, case: Case) -> Truth:
        if (what, dtype) not in self._other:
            self._other[what, dtype] = Truth(self.entry, case)
        return self._other[what, dtype]


def _subnormal(values: Any, smallest_normal: float) -> Any:
    size = np.abs(np.asarray(values, dtype=np.float64))
    return (size < smallest_normal) & (size > 0)


def _rounded(value: Any, precision: Precision) -> Any:
    """A float parameter in the compute dtype; a metric with such parameters."""
    if isinstance(value, float):
        with np.errstate(over="ignore", under="ignore"):
            return float(precision.compute.dtype.type(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        rounded = {name: _rounded(field_value, precision) for name, field_value in fields.items()}
        return value if rounded == fields else replace(value, **rounded)
    return value


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
