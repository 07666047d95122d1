"""One call of an implementation: its arguments in its own kind of array and in a memory layout, and what it gives."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakysm.verify.adapters.arrays import EXPANDED, Arrays, HostArray, Way
from leakysm.verify.adapters.implementation import Implementation
from leakysm.verify.case import Case

PARTS = ("value", "vjp")
PLAIN = Way(PARTS)
ALONE = {"plain", "far"}  # flags of cases whose value is compiled apart from the gradient


@dataclass(frozen=True)
class Manner:
    """How a case is called. layouts: one for each argument, dy last; compiled: by the library's compiler, if any.

    purity: whether the call is also watched for what it may not do. way: the name of one of the arrays' ways to call a
    function; "" for the plain one. dtype: the only dtype; "" for all.
    """

    layouts: tuple[str, ...]
    compiled: bool = False
    purity: bool = False
    way: str = ""
    dtype: str = ""

    def way_of(self, arrays: Arrays) -> Way:
        """The way to call a function on these arrays."""
        return arrays.ways[self.way] if self.way else PLAIN

    def fits(self, case: Case) -> bool:
        """Whether the case can be called in this manner: only arrays that repeat numbers or rows can be expanded."""
        rows = zip(self.layouts, (*case.arguments, case.dy), strict=True)
        return all(layout != EXPANDED or repeats(np.asarray(values)) for layout, values in rows)


def plainly(case: Case) -> Manner:
    """The manner of a call with contiguous arrays, not compiled, not watched."""
    return Manner(("contiguous",) * (len(case.arguments) + 1))


def in_turn(implementation: Implementation, case: Case, turn: int) -> Manner:
    """Layouts that change from turn to turn and from argument to argument, so that all pairs of them occur."""
    names = tuple(implementation.arrays.layouts)
    block, at = divmod(turn, len(names))
    chosen = [names[(at + i * (block + 1)) % len(names)] for i in range(len(case.arguments) + 1)]
    if {"layout", "pattern"} & set(case.flags):  # what repeats along an axis arrives once, with a stride of 0
        kinds = [a.kind for a in case.definition.arguments] + ["array"]
        rows = zip((*case.arguments, case.dy), kinds, chosen, strict=True)
        chosen = [EXPANDED if kind == "array" and repeats(a) else layout for a, kind, layout in rows]
    return Manner(tuple(chosen), compiled=True)


def repeats(values: Any) -> bool:
    """Whether all numbers along some axis of an array are the same."""
    axes = [axis for axis in range(np.ndim(values)) if np.shape(values)[axis] > 1]
    return np.size(values) > 0 and any(bool(np.all(values == np.take(values, [0], axis))) for axis in axes)


class Call:
    """A case's call in a dtype, part and manner. `names` are those of the arguments given, `given` the arguments."""

    def __init__(self, implementation: Implementation, case: Case, dtype: str, part: str, manner: Manner):
        self.implementation, self.case, self.part, self.manner = implementation, case, part, manner
        self.arrays, self.dtype = implementation.arrays, dtype
        kinds = [a.kind for a in case.definition.arguments] + ["array"]
        hosts = [
            np.asarray(a, dtype=dtype) if kind == "array" else a
            for a, kind in zip((*case.arguments, case.dy), kinds, strict=True)
        ]
        count = len(hosts) if part == "vjp" else len(hosts) - 1
        self.names = tuple([*(a.name for a in case.definition.arguments), "dy"][:count])
        self.hosts = dict(zip(self.names, hosts, strict=False))
        self.layouts = dict(zip(self.names, manner.layouts, strict=False))
        self.way = manner.way_of(self.arrays)

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """The context of the whole call: the dtype's mode, NumPy's default error state, no warnings."""
        with self.arrays.mode(self.dtype), warnings.catch_warnings(), np.errstate(all="warn", under="ignore"):
            # Functions set other filters than this one. If they set the same one again, it would not show.
            warnings.filterwarnings("ignore", message=".*")
            yield

    def placed(self) -> dict[str, Any]:
        """The arguments as the implementation gets them."""
        given: dict[str, Any] = {}
        for name, host in self.hosts.items():
            twin = self.twin(name)
            if twin is not None:
                given[name] = self.arrays.evaluated(twin[1], given[twin[0]])
            elif isinstance(host, np.ndarray):
                given[name] = self._prepared(name, self.arrays.placed(host, self.layouts[name]))
            else:
                given[name] = host
        if both := self.together():
            given.update(zip(both, self.arrays.evaluated(self.way.together, *(given[n] for n in both)), strict=True))
        return given

    def twin(self, name: str) -> tuple[str, str] | None:
        """An earlier argument and the expression that makes this one of its array, if the way shares arrays; or None.

        This one has the same numbers, perhaps with exchanged axes.
        """
        if not self.way.shared or name not in floats_of(self):
            return None
        before = floats_of(self)[: list(floats_of(self)).index(name)]
        views = ((other, view) for view in ("{0}", self.arrays.swapped) for other in before)
        host = self.hosts[name]
        return next((v for v in views if same(host, self.hosts[v[0]], swapped=v[1] != "{0}")), None)

    def together(self) -> tuple[str, str] | None:
        """The two arguments whose arrays are parts of one array, if the way makes them so; None if there are none."""
        return joinable(self.case) if self.way.together else None

    def preparation(self, name: str) -> str:
        """The expression for what this way does to an argument; "{0}" for nothing."""
        host = self.hosts[name]
        if not isinstance(host, np.ndarray):
            return "{0}"
        return self.way.argument if host.dtype.kind == "f" else self.way.labels or "{0}"

    def _prepared(self, name: str, array: Any) -> Any:
        expression = self.preparation(name)
        return array if expression == "{0}" else self.arrays.evaluated(expression, array)

    def _inside(self, function: Callable[..., Any], context: str) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            with self.arrays.evaluated(context):
                return function(*given)

        return call

    def _own_function(self) -> Callable[..., Any]:
        case = self.case
        return self.implementation.function(case.operation, self.part, case.parameters, way=self.manner.way)

    def function(self) -> Callable[..., Any]:
        """The function to call with the arguments; NotOffered if there is none."""
        function = self._own_function()
        if self.way.context is not None:
            function = self._inside(function, self.way.context[0])
        if not (self.manner.compiled and self.arrays.compiles):
            return function
        both = self._both()
        if both is None:
            return self.arrays.compiled(function, function)
        at, dy = PARTS.index(self.part), self.arrays.asarray(np.asarray(self.case.dy, dtype=self.dtype))
        call = self.arrays.compiled(both, lambda *given: {at: function(*given[: len(self.names)])})
        return lambda *given: call(*(given if at else (*given, dy)))[at]

    def _both(self) -> Callable[..., Any] | None:
        """The function of outputs and gradients to compile, if that is more than this part's function."""
        # Traced without its gradient, the value may be other code.
        alone = self.part == "value" and ALONE & set(self.case.flags)
        return None if alone or self.manner.way else self.implementation.both(self.case.operation, self.case.parameters)

    def traced(self) -> Sequence[str]:
        """The arguments that are unknowns of the compiled function; none if the call is not compiled."""
        if not (self.manner.compiled and self.arrays.compiles):
            return []
        kinds = self.arrays.traced(self._both() or self._own_function())
        return [n for n, host in self.hosts.items() if isinstance(host, np.ndarray) and host.dtype.kind in kinds]

    def results(self) -> tuple[HostArray, ...]:
        """The results as host arrays."""
        with self.around():
            return self.arrays.hosted(self.function()(*self.placed().values()))


def same(a: Any, b: Any, *, swapped: bool = False) -> bool:
    """Whether two arrays hold the same numbers in the same shape, more than one. swapped: b with exchanged axes."""
    if swapped:
        return np.ndim(b) == 2 and same(a, np.transpose(b))
    return np.size(a) > 1 and np.shape(a) == np.shape(b) and bool(np.all(a == b))


def joinable(case: Case) -> tuple[str, str] | None:
    """The names of the first two arrays of floats whose rows have the same shape; None if there are none."""
    arrays = [(case.definition.arguments[at].name, np.shape(case.arguments[at])) for at in case.definition.array_places]
    pairs = itertools.combinations([(name, shape) for name, shape in arrays if shape], 2)
    return next(((a, b) for (a, one), (b, other) in pairs if one[1:] == other[1:]), None)


def floats_of(call: Call) -> Sequence[str]:
    """The names of the call's arguments that are float arrays."""
    return [n for n, host in call.hosts.items() if isinstance(host, np.ndarray) and host.dtype.kind == "f"]
