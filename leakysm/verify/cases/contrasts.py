"""Plain cases with contrasts in one call: rows of very different size, or of nothing but 0; whole numbers; square arrays.

What is scaled or skipped for a whole array at once, and not for each row, shows where the rows differ. Not in the
reference vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from leakysm.verify.case import Case
from leakysm.verify.cases.equal import plain_case
from leakysm.verify.cases.numbers import Floats, noise, whole
from leakysm.verify.sample import PairSample

OF_PAIRS = (
    "squared_euclidean",
    "euclidean",
    "cosine_distance",
    "leaky_squared_euclidean",
    "restricted_squared_euclidean",
)
# By place of an argument: the axis whose rows get powers of two, -p, p and 0 in turn, and how many times p.
_Axes = Mapping[int, tuple[int, int]]
_BOTH: _Axes = {0: (0, 1), 1: (0, 1)}
_APART: Mapping[str, Sequence[tuple[int, _Axes]]] = {
    "squared_euclidean": ((40, _BOTH),),
    "euclidean": ((40, _BOTH),),
    "cosine_distance": ((40, {0: (0, 1)}), (40, {1: (0, 1)})),
    "leaky_squared_euclidean": ((40, _BOTH),),
    "restricted_squared_euclidean": ((40, _BOTH),),
    "prototypes": ((60, {0: (0, 1)}), (60, {0: (1, 1)})),
    "log_softmax": ((6, {0: (0, 1)}),),
    "cross_entropy": ((6, {0: (0, 1)}),),
    "distance_cross_entropy": ((8, {0: (0, 1)}), (8, {1: (0, 1)})),
    "prototypical_loss": ((8, {0: (0, 1)}), (8, {2: (0, 1)})),
    "conv2d": ((100, {0: (0, 1)}), (40, {0: (3, 1)}), (60, {1: (3, 1)})),
    "relu": ((100, {0: (0, 1)}),),
    "max_pool2d": ((100, {0: (3, 1)}),),
    "batch_norm": ((12, {0: (3, 1)}),),
    "batch_norm_inference": ((12, {0: (3, 1), 3: (0, 1), 4: (0, 2)}),),
    "conv_block": ((12, {1: (3, 1)}),),
    "conv_block_inference": ((12, {1: (3, 1), 4: (0, 1), 5: (0, 2)}),),
}
# Arguments of which a row or column of 0 is a tie, or a zero vector, about which implementations may differ.
_NOT_BLANK = {
    "cosine_distance": "xc", "relu": "x", "max_pool2d": "x", "conv_block": "xw", "conv_block_inference": "xw",
}  # fmt: skip
_WHOLE: Mapping[str, Mapping[int, tuple[int, int]]] = {
    **{name: {0: (-32_767, 32_767), 1: (-32_767, 32_767)} for name in OF_PAIRS},
    "prototypes": {0: (-32_767, 32_767)},
    "log_softmax": {0: (-90, 90)},
    "cross_entropy": {0: (-90, 90)},
    "conv2d": {0: (-2000, 2000), 1: (-2000, 2000)},
    "relu": {0: (-70_000, 70_000)},
    "max_pool2d": {0: (-70_000, 70_000)},
    **{name: {0: (0, 255)} for name in ("batch_norm", "batch_norm_inference", "conv_block", "conv_block_inference")},
}


def of(operation: str, cases: Sequence[Case]) -> Iterator[Case]:
    """The first plain case of an operation with each contrast in turn."""
    plain = plain_case(cases)
    names = [a.name for a in plain.definition.arguments]
    for p, axes in _APART[operation]:
        values = {at: _apart(plain.arguments[at], axis, p * times) for at, (axis, times) in axes.items()}
        what = "-".join(f"{names[at]}{axis}" for at, (axis, _) in axes.items())
        yield changed(plain, f"apart-{what}", values, f"rows of {what} times 2^-{p}, 2^{p} and 1 in turn")
    for axis in sorted({0, np.ndim(plain.dy) - 1}) if np.ndim(plain.dy) else ():
        note = f"axis {axis} of dy times 2^-100, 2^100 and 1 in turn"
        yield changed(plain, f"apart-dy{axis}", {-1: _apart(plain.dy, axis, 100)}, note)
    yield from _spoilt(operation, plain)
    yield from _ranges(plain)
    yield from _blanks(operation, plain)
    if operation in _WHOLE:
        numbers = {
            at: whole(f"contrast {operation} {at}", *plain.arguments[at].shape, low=low, high=high)
            for at, (low, high) in _WHOLE[operation].items()
        }
        yield changed(plain, "whole-large", numbers, "whole numbers, as of bytes or 16 bits")
    if operation == "prototypes":
        sums = 2.0**8 * whole(f"contrast {operation} sums", *plain.arguments[0].shape, low=3 << 21, high=(1 << 23) - 1)
        yield changed(plain, "whole-31", {0: sums}, "whole numbers below 2^31, whose sums are not")
    yield _square(operation, plain)


def _spoilt(operation: str, plain: Case) -> Iterator[Case]:
    """One row without a finite result, beside ordinary ones, which it must not spoil; columns in the size of a tile."""
    if operation in (*OF_PAIRS, "log_softmax", "cross_entropy"):
        nan = np.array(plain.arguments[0])
        nan[0] = np.nan
        yield changed(plain, "nan-row", {0: nan}, "the first row is NaN", ("undefined",))
    if operation in OF_PAIRS:
        for at, name in enumerate("xc"):
            far = np.array(plain.arguments[at])
            far[0] *= 2.0**100
            yield changed(plain, f"overflow-{name}", {at: far}, f"the first row of {name} times 2^100", ("overflow",))
        columns = {at: _apart(noise(f"columns {operation} {name}", 64, 64), 1, 12) for at, name in enumerate("xc")}
        tile = changed(plain, "apart-columns", columns, "columns times 2^-12, 2^12 and 1 in turn")
        few = np.array([0, 1, 31, 32, 62, 63])
        dy = _apart(noise(f"columns dy {operation}", 64, 64), 1, 12)
        yield replace(tile, dy=dy, sample=PairSample(few, few), one_way=("float64",))


def _square(operation: str, plain: Case) -> Case:
    """Axes of the same length, so that nothing else than the numbers shows which is which."""
    images = {
        "conv2d": ((2, 3, 4, 4), (2, 3, 4, 4)), "max_pool2d": ((2, 6, 4, 4), (2, 3, 2, 4)), "relu": ((2, 3, 4, 4),) * 2,
        "batch_norm": ((2, 3, 4, 4),) * 2, "batch_norm_inference": ((2, 3, 4, 4),) * 2,
        "conv_block": ((2, 6, 4, 4), (2, 3, 2, 4)), "conv_block_inference": ((2, 6, 4, 4), (2, 3, 2, 4)),
    }  # fmt: skip
    first, shape = images.get(operation, ((5, 5), (5, 5) if np.ndim(plain.dy) else ()))
    values: dict[int, Any] = {0: noise(f"square {operation}", *first)}
    for at, (a, kind) in enumerate(zip(plain.arguments, plain.definition.arguments, strict=True)):
        if at and kind.kind == "array":
            lengths = (3, 3, 4, 4) if np.ndim(a) == 4 else (5, 5) if np.ndim(a) == 2 else (4,)
            values[at] = noise(f"square {operation} {kind.name}", *lengths, bits=11) + 1.25 * (kind.name == "variance")
        elif kind.kind != "array":
            values[at] = 5 if kind.kind == "count" else np.array([3, 0, 2, 4, 1])
    dy = noise(f"square dy {operation}", *shape) if shape else plain.dy
    return changed(replace(plain, dy=dy), "square", values, "axes of the same length", ("plain",))


def _apart(values: Any, axis: int, p: int) -> Floats:
    powers = 2.0 ** (np.array([-p, p, 0])[np.arange(values.shape[axis]) % 3])
    return np.asarray(values * powers.reshape([-1 if i == axis else 1 for i in range(values.ndim)]))


def _floats(plain: Case) -> Iterator[tuple[int, str, Floats]]:
    """The place, name and values of every array of floats; dy last, with the place -1."""
    for at in plain.definition.array_places:
        yield at, plain.definition.arguments[at].name, plain.arguments[at]
    if np.ndim(plain.dy):
        yield -1, "dy", plain.dy


def _ranges(plain: Case) -> Iterator[Case]:
    for at, name, values in _floats(plain):
        wide = np.array(values)
        wide.flat[0] *= 2.0**-115
        top = 4 if "distance" in plain.parameters else 30  # far beyond that, roundings of distances decide a softmax
        wide.flat[-1] *= 2.0**top
        note = f"the first number of {name} times 2^-115, the last times 2^{top}"
        yield changed(plain, f"range-{name}", {at: wide}, note)


def _blanks(operation: str, plain: Case) -> Iterator[Case]:
    for at, name, values in _floats(plain):
        if name in _NOT_BLANK.get(operation, ""):
            continue
        for axis in sorted({0, values.ndim - 1}):
            if values.shape[axis] > 1:
                blank = np.array(values)
                blank[(slice(None),) * axis + (0,)] = 0
                note = f"{name} is 0 at the first place of axis {axis}"
                yield changed(plain, f"blank-{name}{axis}", {at: blank}, note)


def changed(
    plain: Case, name: str, values: Mapping[int, Any], note: str, flags: tuple[str, ...] = ("contrast",)
) -> Case:
    """The plain case with other values of some arguments, by their place; -1 is dy."""
    arguments = [values.get(at, a) for at, a in enumerate(plain.arguments)]
    return replace(
        plain, name=name, arguments=tuple(arguments), dy=values.get(-1, plain.dy), flags=flags, note=note, stored=False
    )
