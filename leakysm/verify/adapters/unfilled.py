"""A context in which NumPy's memory that nobody has filled holds NaN, so that whoever reads it is found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

MAKERS = ("empty", "empty_like")
PARTIAL = ("divide", "true_divide", "multiply", "reciprocal", "sqrt", "log", "exp")  # often called with `where`


@contextlib.contextmanager
def nan_in_unfilled() -> Iterator[None]:
    """A context in which np.empty gives NaN, or ones of integers; so do functions with `where` and no `out`."""
    before = {name: getattr(np, name) for name in (*MAKERS, *PARTIAL)}
    try:
        for name in MAKERS:
            setattr(np, name, _filling(before[name]))
        for name in PARTIAL:
            setattr(np, name, _Partial(before[name]))
        yield
    finally:
        for name, function in before.items():
            setattr(np, name, function)


def _filling(make: Callable[..., Any]) -> Callable[..., Any]:
    def made(*arguments: Any, **options: Any) -> Any:
        array = make(*arguments, **options)
        array.fill(np.nan if array.dtype.kind in "fc" else 1)
        return array

    return made


class _Partial:
    """An elementwise function that gives NaN where its `where` is false, if it is given no `out`."""

    def __init__(self, function: np.ufunc):
        self.function = function

    def __call__(self, *arguments: Any, where: Any = True, **options: Any) -> Any:
        if where is True or "out" in options or len(arguments) > self.function.nin:
            return self.function(*arguments, where=where, **options)
        with np.errstate(all="ignore"):
            result = self.function(*arguments, **options)
        return np.where(where, result, result.dtype.type(np.nan))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.function, name)
