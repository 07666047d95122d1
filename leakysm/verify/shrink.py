"""Make a failing case small: first fewer rows and columns, then simpler numbers, as long as it still fails.

It works on cases of any operation, fixed or drawn. A smaller call makes sense if the reference operation accepts it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from leakysm.verify.case import Case

SHRUNK = "shrunk from "  # before the name of a case that was made small
MOST_SHARED_AXES = 6
MOST_NUMBERS = 60  # beyond that, numbers are simplified all together, not one by one


def shrink(case: Case, fails: Callable[[Case], bool], seconds: float) -> Case:
    """The smallest case found for which `fails` is true, as it is for the given case. seconds: the time for this."""
    end = time.monotonic() + seconds
    if case.sample is not None:
        looked_at = case.sample.cut(case)
        if not fails(looked_at):
            return case
        case = looked_at
    result = _result(case, case.arguments)
    finite, empty = bool(np.all(np.isfinite(result))), 0 in (result.size, *(np.size(a) for a in case.floats))
    smaller: Case | None = case
    while smaller is not None:
        case = smaller
        in_time = itertools.takewhile(lambda _: time.monotonic() < end, _simpler(case))
        smaller = next((c for c in in_time if _sensible(c, finite, empty) and fails(c)), None)
    return replace(case, name=SHRUNK + case.name) if case.name != "random" else case


def _sensible(case: Case, finite: bool, empty: bool) -> bool:
    """Whether the reference takes the call, and dy fits its result.

    The result must be finite; if not `finite`, just not NaN. No array may be empty, unless `empty`.
    """
    y = _result(case, case.arguments)
    if y is None or y.shape != np.shape(case.dy) or (y.size == 0 and not empty):
        return False
    return bool(np.all(np.isfinite(y))) if finite else not np.any(np.isnan(y))


def _simpler(case: Case) -> Iterator[Case]:
    yield from _shorter(case)
    for at in range(len(case.arguments) + 1):
        yield from _plainer(case, at)


def _shorter(case: Case) -> Iterator[Case]:
    """Cases with some indices of an axis left out, the longest axes first.

    It is not known which axes of the arguments belong together. So all axes of one length are cut together first, then
    every smaller set of them. The reference operation refuses those that do not fit.
    """
    axes = [Axis(i, axis, length) for i, a in enumerate(case.arguments) for axis, length in enumerate(np.shape(a))]
    for length in sorted({axis.length for axis in axes} - {0, 1}, reverse=True):
        alike = [axis for axis in axes if axis.length == length][:MOST_SHARED_AXES]
        for kept, size in itertools.product(_kept_indices(length), range(len(alike), 0, -1)):
            for chosen in itertools.combinations(alike, size):
                yield from _cut(case, chosen, kept)


class Axis(NamedTuple):
    """An axis of a case's argument."""

    argument: int
    axis: int
    length: int


def _kept_indices(length: int) -> list[list[int]]:
    """What to keep of an axis: either half, or all but one index where the axis is short."""
    half, everything = length // 2, list(range(length))
    all_but_one = [[k for k in everything if k != out] for out in everything] if length <= 8 else []
    return [everything[:half], everything[half:], *all_but_one]


def _cut(case: Case, chosen: Sequence[Axis], kept: Sequence[int]) -> Iterator[Case]:
    """The case with only these indices of the chosen axes, if the reference operation takes it; dy is cut to fit."""
    arguments = list(case.arguments)
    for i, axis, _ in chosen:
        arguments[i] = np.take(arguments[i], kept, axis)
    kinds = [a.kind for a in case.definition.arguments]
    labels = [arguments[i] for i, kind in enumerate(kinds) if kind == "labels"]
    if labels and any(a.size for a in labels) and len(labels) + kinds.count("count") > 1:
        known = np.unique(labels[0])
        if not all(np.isin(a, known).all() for a in labels):
            return
        arguments = [_renumbered(a, kind, known) for a, kind in zip(arguments, kinds, strict=True)]
    y, dy = _result(case, arguments), np.asarray(case.dy)
    if y is not None and y.ndim == dy.ndim and all(s <= t for s, t in zip(y.shape, dy.shape, strict=True)):
        yield replace(case, arguments=tuple(arguments), dy=np.asarray(dy[tuple(map(slice, y.shape))]))


def _renumbered(argument: Any, kind: str, known: Any) -> Any:
    """Labels from 0 without gaps, and the count of classes."""
    if kind == "count":
        return len(known)
    return np.searchsorted(known, argument).astype(np.int64) if kind == "labels" else argument


def _result(case: Case, arguments: Sequence[Any]) -> Any:
    """The first output of the reference operation; None if it refuses the arguments."""
    try:
        with np.errstate(all="ignore"):
            y = case.definition.value(*arguments, **case.parameters)
    except Exception:  # whatever it raises, the arguments make no case
        return None
    return np.asarray(y[0] if isinstance(y, tuple) else y)


def _plainer(case: Case, at: int) -> Iterator[Case]:
    """One array (the last is dy) with plainer numbers: all at once, then each."""
    array = case.dy if at == len(case.arguments) else case.arguments[at]
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not np.all(np.isfinite(array)):
        return
    places: list[Any] = [...] + (list(np.ndindex(array.shape)) if array.size <= MOST_NUMBERS and array.ndim else [])
    for place in places:
        for rounding in _ROUNDINGS:
            other = array.copy()
            other[place] = rounding(array[place])
            if _length(other) < _length(array):
                arguments = [other if i == at else a for i, a in enumerate(case.arguments)]
                yield replace(case, arguments=tuple(arguments), dy=other if at == len(arguments) else case.dy)


_ROUNDINGS: tuple[Callable[[Any], Any], ...] = (np.zeros_like, np.ones_like, np.round, lambda a: np.round(a * 8) / 8)


def _length(array: Any) -> int:
    """How much there is to read: the number of characters, plus 1 for each number that is not 0."""
    return sum(len(repr(value)) + (value != 0) for value in array.ravel().tolist())
