"""One library's arrays as verification needs them: there and back, memory layouts, what a call may not change.

What is done to an array is written as an expression, `{0}` being the array: it is evaluated here, and printed in a
counterexample. So a counterexample shows what was really done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

import numpy as np

EXPANDED = "expanded"  # the layout of a constant array whose strides are 0, as `.sum()` sends its cotangent

HostArray = np.ndarray[Any, Any]


class WrongResult(Exception):  # noqa: N818 (the message is the finding)
    """The implementation returned something that is not what the operation returns."""


def as_tuple(result: Any) -> tuple[Any, ...]:
    """One result as a tuple of one; lists too are taken."""
    return tuple(result) if isinstance(result, tuple | list) else (result,)


@dataclass(frozen=True)
class Setting:
    """A setting of the whole program: the expression that reads it, the module it needs, and how it is set back."""

    read: str
    module: str
    restore: Callable[[Any], Any]


class Arrays:
    """What a library's arrays can do.

    `layouts`: name -> expression that gives the same numbers in another memory layout; the first is plain.
    `expanded`: the expression that expands a number `{0}` to the shape `{1}`. `watched`: expressions whose value no
    call may change of an argument. `bits`: an array's bits. `shares`: whether {0} lies in {1}'s memory; None if that
    does no harm. `other`: other numbers of the same shape. `settings`: what a call may not change of the program.
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
    other: str
    settings: Sequence[Setting] = ()
    scope: Mapping[str, Any]
    compiles = False

    def asarray(self, host: HostArray) -> Any:
        """An array of its own, plain in memory, that may be written to."""
        raise NotImplementedError

    def to_host(self, array: Any) -> HostArray:
        """The numbers; WrongResult if this is none of the library's arrays."""
        raise NotImplementedError

    def mode(self, dtype: str) -> contextlib.AbstractContextManager[Any]:
        """What the library needs around everything that is done in a dtype."""
        return contextlib.nullcontext()

    def imports_for(self, dtype: str) -> list[str]:
        """The imports, and the lines of code that set the library up for a dtype."""
        return list(self.imports)

    def integers(self, dtype: str) -> str:
        """The dtype that labels have beside floats of a dtype."""
        return "int64"

    def gradient(self, function: str, arrays: str, arguments: str, outputs: int) -> list[str] | None:
        """Lines of code that define `gradient(...)` by autodiff; None without autodiff."""
        return None

    def differentiated(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        """The gradients of function(*arrays), an array or a tuple whose first is differentiated, by autodiff."""
        raise NotImplementedError

    def both(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, tuple[Any, ...]]:
        """Outputs and gradients at once, for a library that compiles."""
        raise NotImplementedError

    def compiled(self, function: Callable[..., Any], eager: Callable[..., Any]) -> Callable[..., Any]:
        """The function as the library's compiler makes it; `eager` where there is no compiler, or it cannot."""
        return eager

    def evaluated(self, expression: str, *arrays: Any) -> Any:
        """The value of one of the expressions for these arrays."""
        names = [f"_{i}" for i in range(len(arrays))]
        return eval(_code(expression.format(*names)), {**self.scope, **dict(zip(names, arrays, strict=True))})

    def placed(self, host: HostArray, layout: str) -> Any:
        """The library's array of these numbers in a layout."""
        if layout == EXPANDED:
            return self.evaluated(self.expanded, self.asarray(repeated(host)), host.shape)
        return self.evaluated(self.layouts[layout], self.asarray(host)) if host.ndim else self.asarray(host)

    def hosted(self, results: Any) -> tuple[HostArray, ...]:
        """One result or several as NumPy arrays that nobody else can change."""
        return tuple(np.array(self.to_host(a)) for a in as_tuple(results))


def repeated(host: HostArray) -> HostArray:
    """What an array repeats: one number, or its first row."""
    one = host.ravel()[:1].reshape(())
    return one if np.all(host == one) else host[:1]


@lru_cache(maxsize=1000)
def _code(expression: str) -> CodeType:
    return compile(expression, "<layout>", "eval")


@contextlib.contextmanager
def kept(settings: Sequence[Setting], scope: Mapping[str, Any]) -> Iterator[Callable[[], list[Setting]]]:
    """Sets the settings back at the end; the call gives those that have changed so far."""
    before = [eval(s.read, dict(scope)) for s in settings]

    def changed() -> list[Setting]:
        return [s for s, value in zip(settings, before, strict=True) if eval(s.read, dict(scope)) != value]

    try:
        yield changed
    finally:
        for setting, value in zip(settings, before, strict=True):
            if eval(setting.read, dict(scope)) != value:
                setting.restore(value)
