"""Calls that differ in one number of several hundred: a result that is kept by a part of the numbers is wrong for them.

Not in the reference vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from leakysm.verify.case import Case
from leakysm.verify.cases.contrasts import changed

_MOST = 1000  # numbers of the case
_PLACES = (0.37, 0.73)  # of the changed number in an array; the second only in the largest array


def of(cases: Sequence[Case]) -> Iterator[Case]:
    """An operation's largest case of fewer than _MOST numbers, each time with one number of one array changed."""
    fitting = [case for case in cases if case.size < _MOST and "float32" in case.dtypes and not case.own]
    base = max((case for case in fitting if case.sample is None), key=lambda case: case.size)
    arrays = {base.definition.arguments[at].name: (at, base.arguments[at]) for at in base.definition.array_places}
    arrays["dy"] = (-1, base.dy)
    largest = max(arrays, key=lambda name: int(np.size(arrays[name][1])))
    for name, (at, array) in arrays.items():
        for turn, place in enumerate(_PLACES):
            other = _with_another_number(array, place)
            if other is not None and (turn == 0 or name == largest):
                note = f"{base.name}, with one number of {name} changed"
                yield changed(base, f"one-number-{name}-{turn}", {at: other}, note, ("one-number",))


def _with_another_number(array: Any, place: float) -> Any:
    """The array with the number at this place replaced by the next other one; None if all are equal."""
    flat = np.array(array).ravel()
    at = int(place * len(flat))
    others = np.roll(flat, -at)
    others = others[others != others[0]]
    if not len(others):
        return None
    flat[at] = others[0]
    return flat.reshape(np.shape(array))
