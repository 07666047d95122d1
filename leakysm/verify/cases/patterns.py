"""Arguments that repeat or mirror themselves, or are all 0: a shortcut takes them for something simpler.

Each operation's plain case, with a pattern in one argument at a time. Not in the reference vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from leakysm.verify.case import DTYPES, Case
from leakysm.verify.cases.contrasts import changed
from leakysm.verify.cases.equal import plain_case
from leakysm.verify.cases.numbers import Floats, single

_BLOCKS = ("conv_block", "conv_block_inference")
_Patterns = dict[str, Callable[[Floats], Floats]]


def of(operation: str, cases: Sequence[Case]) -> Iterator[Case]:
    """The first plain case of an operation with each pattern in each of its arrays of floats in turn."""
    plain = plain_case(cases)
    for at in plain.definition.array_places:
        name = plain.definition.arguments[at].name
        for pattern, change in _fitting(plain, at).items():
            values = single(change(np.asarray(plain.arguments[at], dtype=np.float64)))
            title = f"pattern-{name}-{pattern.replace(' ', '-')}"
            case = changed(plain, title, {at: values}, f"{name} is {pattern}", ("pattern",))
            yield replace(case, one_way=DTYPES)  # equal terms are rounded alike


def _fitting(plain: Case, at: int) -> _Patterns:
    """The patterns of an argument that keep it valid, and make no ties, about which implementations may differ."""
    name, values = plain.definition.arguments[at].name, plain.arguments[at]
    patterns = _patterns(np.shape(values))
    if name == "variance":
        return {"equal along axis 0": patterns["equal along axis 0"]}
    pooled = plain.operation in (*_BLOCKS, "max_pool2d")
    if pooled and name in ("x", "w", "scale"):
        tied = (
            "all 0",
            "never positive",
            "never negative",
            *(f"{how} along axis {axis}" for how in ("equal", "mirrored") for axis in (1, 2)),
        )
        patterns = {key: change for key, change in patterns.items() if key not in tied}
    if plain.operation == "cosine_distance":  # about zero vectors, too, they may differ
        patterns = {key: change for key, change in patterns.items() if np.any(change(values), axis=1).all()}
    return patterns


def _patterns(shape: tuple[int, ...]) -> _Patterns:
    patterns: _Patterns = {"all 0": np.zeros_like}
    for axis in [axis for axis, length in enumerate(shape) if length > 1]:
        patterns |= {
            f"equal along axis {axis}": partial(_equal, axis),
            f"mirrored along axis {axis}": partial(_mirrored, axis, 1.0),
            f"mirrored with other signs along axis {axis}": partial(_mirrored, axis, -1.0),
        }
    if shape[:2] == (3, 3):  # a kernel, such as Gauss's
        patterns["mirrored along axes 0 and 1"] = lambda a: _mirrored(0, 1.0, _mirrored(1, 1.0, a))
    if len(shape) == 2:
        patterns |= {
            "the identity": lambda a: np.eye(*a.shape),
            "multiples of one row": lambda a: np.outer(2.0 ** np.arange(len(a)) * (-1) ** np.arange(len(a)), a[0]),
        }
    patterns |= {
        "never positive": lambda a: np.minimum(a, 0.0),
        "never negative": lambda a: np.maximum(a, 0.0),
    }
    patterns["sorted"] = lambda a: np.sort(a, axis=None).reshape(a.shape)
    return patterns


def _equal(axis: int, a: Floats) -> Floats:
    return np.repeat(np.take(a, [0], axis), a.shape[axis], axis)


def _mirrored(axis: int, sign: float, a: Floats) -> Floats:
    return a + sign * np.flip(a, axis)
