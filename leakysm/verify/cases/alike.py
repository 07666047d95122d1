"""Numbers and arrays that a test of equality, or a key of what is kept, may take for others. Not in the reference vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from leakysm.ops.restriction import Leak
from leakysm.verify.case import DTYPES, Case
from leakysm.verify.cases.contrasts import OF_PAIRS, changed
from leakysm.verify.cases.equal import plain_case
from leakysm.verify.cases.numbers import Floats, noise, single, whole

_FAINT = {"threshold": 1.0, "slope": 1e-17}
# Two sets of shapes: of each argument in turn, then of dy.
_IMAGES = ((1, 4, 4, 1), (1, 2, 8, 1))
_HALF = ((1, 2, 2, 1), (1, 1, 4, 1))
_SHAPES: Mapping[str, Sequence[Sequence[tuple[int, ...]]]] = {
    **dict.fromkeys(OF_PAIRS, (((4, 2), (4, 2), (4, 4)), ((2, 4), (2, 4), (2, 2)))),
    "log_softmax": (((4, 3), (4, 3)), ((3, 4), (3, 4))),
    "relu": (((4, 3), (4, 3)), ((3, 4), (3, 4))),
    "max_pool2d": tuple(zip(_IMAGES, _HALF, strict=True)),
    "batch_norm": (((6, 2), (2,), (2,), (6, 2)), ((2, 3, 2), (2,), (2,), (2, 3, 2))),
    "batch_norm_inference": (((6, 2), *((2,),) * 4, (6, 2)), ((2, 3, 2), *((2,),) * 4, (2, 3, 2))),
    "conv2d": tuple((images, (3, 3, 1, 1), images) for images in _IMAGES),
    "conv_block": tuple((one, (3, 3, 1, 1), (1,), (1,), half) for one, half in zip(_IMAGES, _HALF, strict=True)),
    "conv_block_inference": tuple(
        (one, (3, 3, 1, 1), *((1,),) * 4, half) for one, half in zip(_IMAGES, _HALF, strict=True)
    ),
}  # fmt: skip


def of(operation: str, cases: Sequence[Case]) -> Iterator[Case]:
    """The cases of an operation, most of them changes of its first plain case."""
    plain = plain_case(cases)
    if np.ndim(plain.dy):
        yield from _cotangents(plain)
    yield from _shapes(plain)
    if operation != "max_pool2d":  # equal numbers in a window are another subject
        yield from _hashes(plain)
    if operation in OF_PAIRS:
        yield from _points(plain)
    elif operation in ("log_softmax", "cross_entropy"):
        yield from _rows(plain)
    elif operation == "batch_norm":
        spread = {0: 1 + whole("alike spread", *plain.arguments[0].shape, low=-9, high=9) * 2.0**-36}
        yield changed(plain, "alike-values", spread, "values that differ by 1e-11 to 1e-10 of them", ("large-mean",))


def _cotangents(plain: Case) -> Iterator[Case]:
    """A dy that is nearly constant, that repeats a row or a column, or that ends as it begins."""
    shape, name = np.shape(plain.dy), plain.operation
    near = single(1 + noise(f"alike dy {name}", *shape, bits=11) * 2.0**-20)
    yield changed(plain, "alike-dy", {-1: near}, "dy is 1, but for a millionth", ("corner",))
    for axis in sorted({0, len(shape) - 1}) if len(shape) > 1 else ():
        one = np.moveaxis(noise(f"alike dy {axis} {name}", *shape, bits=11), axis, 0)[:1]
        repeated = np.moveaxis(np.repeat(one, shape[axis], 0), 0, axis)
        case = changed(plain, f"alike-dy{axis}", {-1: repeated}, f"dy is the same along axis {axis}", ("layout",))
        yield replace(case, one_way=DTYPES)
    ends = np.array(plain.dy)
    ends[-1] = ends[0]
    yield changed(plain, "alike-dy-ends", {-1: ends}, "the last row of dy is the first", ("corner",))


def _shapes(plain: Case) -> Iterator[Case]:
    """Two cases, one after the other, whose arrays hold equal numbers in different shapes."""
    for number, shapes in enumerate(_SHAPES.get(plain.operation, ())):
        values: dict[int, Floats] = {}
        for at, shape in enumerate(shapes):
            values[-1 if at + 1 == len(shapes) else at] = noise(f"alike {plain.operation} {at}", *shape, bits=11)
        if plain.operation.endswith("inference"):
            values[len(shapes) - 2] = values[len(shapes) - 2] + 1.25  # the variance
        note = f"the same numbers in arrays of {' and '.join(str(tuple(shape)) for shape in shapes[:2])}"
        yield changed(plain, f"alike-shape-{number}", values, note, ("plain",))


def _hashes(plain: Case) -> Iterator[Case]:
    """Whole numbers with -1 or -2 among them, or with 1 or 2^61: in Python these pairs have the same hash."""
    first: Any = plain.arguments[0]
    numbers = whole(f"alike hash {plain.operation}", *first.shape, low=2, high=5)
    for one in (1, 1 << 61) if plain.operation == "relu" else (-1, -2):
        values = np.array(numbers)
        values.flat[::3] = one
        yield changed(plain, f"alike-hash{one}", {0: values}, f"whole numbers, {one} among them", ("plain",))


def _points(plain: Case) -> Iterator[Case]:
    """Points that vanish beside the other side's one; slopes that vanish beside 1."""
    name = plain.operation
    tiny, one = noise(f"alike tiny {name}", 3, 2) * 2.0**-70, noise(f"alike one {name}", 1, 2, bits=11)
    for side, values in (("x", (tiny, one)), ("c", (one, tiny))):
        dy = noise(f"alike dy {side} {name}", len(values[0]), len(values[1]), bits=11)
        numbers = {0: values[0], 1: values[1], -1: dy}
        yield changed(plain, f"alike-tiny-{side}", numbers, f"{side} is tiny beside the one other point", ("contrast",))
    if name in ("leaky_squared_euclidean", "restricted_squared_euclidean"):
        leaky = name.startswith("leaky")
        far = {at: plain.arguments[at] * 2.0**33 for at in (0, 1)}
        case = changed(plain, "alike-slope-0", far, "slope 1e-17 of distances near 1e20", ("corner",))
        restricted = {"restriction": Leak(**_FAINT), "per": "pair"}
        yield replace(case, parameters=_FAINT | {"per": "pair"} if leaky else restricted)


def _rows(plain: Case) -> Iterator[Case]:
    """Rows at far levels, none of them sure; two classes far apart, of which dy has the likely one alone."""
    labels: dict[int, Any] = {1: np.array([0, 2, 1])}
    second = labels if plain.operation == "cross_entropy" else {-1: noise("alike levels dy", 3, 3, bits=11)}
    for low in (-70.0, -550.0):
        levels = noise(f"alike levels {low}", 3, 3, bits=11) + np.array([[0.0], [low], [low / 2]])
        yield changed(
            plain, f"alike-levels{low:g}", {0: levels} | second, f"rows at levels from {low:g} to 0", ("contrast",)
        )
    if plain.operation == "log_softmax":
        apart = np.array([[0.0, -30.0], [-20.0, 0.0], [-9.0, 0.5], [1.5, -60.0]])
        likely = np.where(apart == apart.max(axis=1, keepdims=True), np.array([[1.0], [-0.5], [0.75], [2.0]]), 0.0)
        note = "two classes far apart; dy is 0 for the unlikely one"
        yield changed(plain, "alike-certain", {0: apart, -1: likely}, note, ("saturated",))
