"""Cases with arguments of equal rows or numbers. They are passed as expanded arrays, with strides of 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from leakysm.verify.case import DTYPES, Case


def plain_case(cases: Sequence[Case]) -> Case:
    """The first plain case of an operation."""
    return next(case for case in cases if case.name in ("plain", "squared-one-shot", "squared-plain", "threshold-zero"))


def of(cases: Sequence[Case]) -> Iterator[Case]:
    """The first plain case of an operation with each of its arrays of floats, and dy, made of equal rows in turn."""
    plain = plain_case(cases)
    for at in plain.definition.array_places:
        argument = plain.arguments[at]
        if np.size(argument) > 1:
            arguments = list(plain.arguments)
            arguments[at] = np.repeat(argument[:1], len(argument), 0)
            yield _renamed(replace(plain, arguments=tuple(arguments)), plain.definition.arguments[at].name)
    if np.ndim(plain.dy):
        yield _renamed(replace(plain, dy=np.full_like(plain.dy, np.ravel(plain.dy)[0])), "dy")


def _renamed(case: Case, what: str) -> Case:
    note = f"{what} is one row or number, expanded"
    return replace(case, name=f"equal-{what}", flags=("layout",), note=note, one_way=DTYPES)
