"""What verification needs of a library's arrays: conversion, memory layouts, and what a call may not change.

Each action on an array is an expression, in which `{0}` is the array. It is evaluated here and printed in a
counterexample, so a counterexample shows what was really done.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, MappingProxyType
from typing import Any

import numpy as np

SMALL = 1000  # numbers of all arrays whose gradients are asked for in every combination
EXPANDED = "expanded"  # the layout of a constant array whose strides are 0, as `.sum()` sends its cotangent

HostArray = np.ndarray[Any, Any]


class WrongResult(Exception):  # noqa: N818 (the message is the finding)
    """The implementation returned something that is not what the operation returns."""


def as_tuple(result: Any) -> tuple[Any, ...]:
    """A call's results as a tuple: a tuple or list keeps its items, one array becomes a tuple of one."""
    return tuple(result) if isinstance(result, tuple | list) else (result,)


@dataclass(frozen=True)
class WatchedSetting:
    """A setting of the whole program: the expression that reads it, the module it needs, and how it is set back.

    once: whether a call may change it once, as libraries do that are loaded late. costly: it takes long to read, and is
    read only where purity is checked.
    """

    read: str
    module: str
    restore: Callable[[Any], Any]
    once: bool = True
    costly: bool = False


@dataclass(frozen=True)
class Way:
    """Another way in which users call a function; its results must be right, too.

    parts: what is called in this way, "value", "vjp" or both. argument, labels: what is done to arrays of floats, or of
    labels, before the call. below: all labels must be smaller. context: the code of the context of the call, and the
    line that imports what it needs. autodiff: only for functions that the library differentiates. refusable: whether
    the function may raise instead. shared: equal arrays of floats are one array, or a view of it. together: the
    expression for two arrays as parts of one, the second before the first.
    """

    parts: Sequence[str]
    argument: str = "{0}"
    labels: str | None = None
    below: float = float("inf")
    context: tuple[str, str] | None = None
    autodiff: bool = False
    refusable: bool = False
    shared: bool = False
    together: str = ""


class Arrays:
    """What a library's arrays can do.

    `layouts`: name -> expression that gives the same numbers in another memory layout; the first is plain. `expanded`:
    the expression that expands a number `{0}` to the shape `{1}`. `watched`: expressions of an argument whose value no
    call may change. `bits`: an array's bits. `shares`: whether {0} lies in {1}'s memory; None if that does no harm.
    `writable`: whether {0} can be written to. `swapped`: a view with the first two axes exchanged. `copied`: a copy.
    `other`: other numbers of the same shape. `overwritten`: the array after other numbers are written into all of it,
    then into a part of its second half, then its own in reverse order; none if nothing can write to it.
    `watched_settings`: what a call may not change of the program. `ways`: other ways to call a function, by name.
    """

    name: str
    versions: Mapping[str, str]
    imports: Sequence[str]
    template: str
    layouts: Mapping[str, str]
    expanded: str
    watched: Sequence[str]
    bits: str
    shares: str | None
    writable: str = "True"
    swapped: str = "{0}.swapaxes(0, 1)"
    copied: str
    other: str
    overwritten: Sequence[str] = ()
    watched_settings: Sequence[WatchedSetting] = ()
    ways: Mapping[str, Way] = MappingProxyType({})
    scope: Mapping[str, Any]
    compiles = False

    def asarray(self, host: HostArray) -> Any:
        """A new, contiguous, writable array of the library with these numbers."""
        raise NotImplementedError

    def to_host(self, array: Any) -> HostArray:
        """The numbers as a NumPy array; WrongResult if the value is not one of the library's arrays."""
        raise NotImplementedError

    def mode(self, dtype: str) -> contextlib.AbstractContextManager[Any]:
        """A context that the library needs around all work in a dtype."""
        return contextlib.nullcontext()

    def imports_for(self, dtype: str) -> list[str]:
        """The imports, and the lines of code that set the library up for a dtype."""
        return list(self.imports)

    def integers(self, dtype: str) -> str:
        """The dtype of labels in a call whose floats have this dtype."""
        return "int64"

    def gradient(self, function: str, arrays: str, arguments: str, outputs: int, *, way: str = "") -> list[str] | None:
        """Lines of code that define `gradient(...)` by autodiff; None if the library has no autodiff.

        way: "later" or "intermediate", as `differentiated_later` or `differentiated_as_given` takes the gradients.
        """
        return None

    def differentiated(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        """The gradients of function(*arrays), an array or a tuple whose first is differentiated, by autodiff."""
        raise NotImplementedError

    def differentiated_later(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        """The gradients, taken after another call, and for the second time."""
        raise NotImplementedError

    def differentiated_as_given(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        """The gradients with respect to arrays that are themselves results of other operations."""
        raise NotImplementedError

    def differentiated_in_part(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        """The gradients if some arguments need none: of all such calls, those farthest from the usual ones.

        For large arrays only calls in which one or two arguments need none; one, if the library compiles for each call.
        """
        n = len(arrays)
        small = sum(math.prod(a.shape) for a in arrays) < SMALL
        least = n - 1 if self.compiles else 2 if small else n - 2
        whole = self.differentiated(function, arrays, dy)
        farthest, distances = list(whole), [0.0] * len(whole)
        for chosen in _parts(n, least):
            gradients = self.differentiated(of_places(function, arrays, chosen), [arrays[i] for i in chosen], dy)
            for place, gradient in zip(chosen, gradients, strict=True):
                difference = np.abs(np.subtract(self.to_host(gradient), self.to_host(whole[place])))
                distance = float(np.nan_to_num(difference, nan=np.inf).max(initial=0))
                if distance > distances[place]:
                    farthest[place], distances[place] = gradient, distance
        return tuple(farthest)

    def differentiated_after_change(
        self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any
    ) -> tuple[Any, ...]:
        """The gradients, taken after the result was changed in place."""
        raise NotImplementedError

    def differentiated_after_arguments_change(
        self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any
    ) -> tuple[Any, ...]:
        """The gradients at the given arrays, taken after copies of them, which the call got, were changed in place."""
        raise NotImplementedError

    def both(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, tuple[Any, ...]]:
        """Outputs and gradients of one call, for a library that compiles."""
        raise NotImplementedError

    def compiled(self, function: Callable[..., Any], eager: Callable[..., Any]) -> Callable[..., Any]:
        """The function, compiled by the library; `eager` if there is no compiler, or it cannot compile the function."""
        return eager

    @contextlib.contextmanager
    def compiling_as_users_do(self) -> Iterator[None]:
        """The context in which `compiled` uses the library's own settings, not those that compile quickly."""
        yield

    def traced(self, function: Callable[..., Any]) -> str:
        """The kinds of dtypes of the arrays that `compiled` makes the function's unknowns; all others are constants."""
        return ""

    def evaluated(self, expression: str, *arrays: Any) -> Any:
        """The value of one of the expressions for these arrays."""
        return _function(self, expression, len(arrays))(*arrays)

    def spelled(self, expression: str) -> str:
        """An expression, which is written for NumPy, in this library's names."""
        return expression

    def placed(self, host: HostArray, layout: str) -> Any:
        """The library's array of these numbers in a layout."""
        if layout == EXPANDED:
            return self.evaluated(self.expanded, self.asarray(repeated(host)), host.shape)
        return self.evaluated(self.layouts[layout], self.asarray(host)) if host.ndim else self.asarray(host)

    def hosted(self, results: Any) -> tuple[HostArray, ...]:
        """One or several results, copied to NumPy arrays that no other code can change."""
        return tuple(np.array(self.to_host(a)) for a in as_tuple(results))


def of_places(function: Callable[..., Any], given: Sequence[Any], places: Sequence[int]) -> Callable[..., Any]:
    """The function of the arguments at these places alone; the others are as given."""

    def of_some(*arrays: Any) -> Any:
        full = list(given)
        for place, array in zip(places, arrays, strict=True):
            full[place] = array
        return function(*full)

    return of_some


def _parts(n: int, least: int) -> Iterator[tuple[int, ...]]:
    """The sets of at least `least` of n places, but not of all; no set of one place alone."""
    for size in range(max(2, least), n):
        yield from itertools.combinations(range(n), size)


def repeated(host: HostArray) -> HostArray:
    """The part of an array that it repeats: one number, or the first place of each axis along which all are equal."""
    one = host.ravel()[:1].reshape(())
    if np.all(host == one):
        return one
    for axis in range(host.ndim):
        first = np.take(host, [0], axis)
        host = first if np.all(host == first) else host
    return host


@lru_cache(maxsize=1000)
def _function(library: Arrays, expression: str, count: int) -> Callable[..., Any]:
    """An expression as a function of so many arrays."""
    names = [f"_{i}" for i in range(count)]
    code = f"lambda {', '.join(names)}: {library.spelled(expression).format(*names)}"
    function: Callable[..., Any] = eval(code, dict(library.scope))
    return function


@lru_cache(maxsize=100)
def _code(expression: str) -> CodeType:
    return compile(expression, "<setting>", "eval")


@contextlib.contextmanager
def kept(settings: Sequence[WatchedSetting], scope: Mapping[str, Any]) -> Iterator[Callable[[], list[WatchedSetting]]]:
    """A context that restores the settings at its end. It yields a function that lists those changed so far."""
    code = _code(f"[{', '.join(s.read for s in settings)}]")
    before = eval(code, dict(scope))

    def others() -> list[tuple[WatchedSetting, Any]]:
        """Settings that have another value now, and the value before."""
        now = eval(code, dict(scope))
        return [(s, b) for s, b, n in zip(settings, before, now, strict=True) if n != b] if now != before else []

    try:
        yield lambda: [setting for setting, _ in others()]
    finally:
        for setting, value in others():
            setting.restore(value)
