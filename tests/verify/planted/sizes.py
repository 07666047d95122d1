"""Wrong only at some size of some axis, or of two axes at once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .mutant import PARTS, Mutant, on_arguments, on_outputs, planted, replaced
from .witness import AXES, METRICS, OPERATIONS, witness

WIDE = (2, 3, 5, 8, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1000, 1024, 1025,
        2048, 2049, 4096)  # fmt: skip
IMAGE = {
    "N": (2, 3, 5, 8, 16, 17, 32, 33, 64),
    "H": (3, 4, 5, 7, 8, 14, 16, 17, 28, 32, 33, 63),
    "C": (2, 3, 4, 5, 8, 16, 17, 31, 32, 33, 63, 64, 65, 128),
}
IMAGE = {**IMAGE, "W": IMAGE["H"], "F": IMAGE["C"]}
MULTIPLES = (4, 8, 16, 32, 64)
BOTH = (4, 8, 16, 32, 33)
EACH = 3  # mutants of each axis of each place

Region = Callable[[int], Any]
"""The wrong indices of an axis of length n; none: nothing is wrong."""


def _beyond(s: int) -> Region:
    return lambda n: np.arange(s, n)


def _last(s: int) -> Region:
    return lambda n: np.arange(n - 1, n) if n > s else np.arange(0)


def _only(s: int) -> Region:
    return lambda n: np.arange(s, s + 1) if n > s else np.arange(0)


def _remainder(m: int) -> Region:
    return lambda n: np.arange(n - n % m, n) if n > m else np.arange(0)


def _whole(m: int) -> Region:
    return lambda n: np.arange(n - m, n) if n and n % m == 0 else np.arange(0)


def _zeroed(part: Any, start: Any) -> Any:
    return part * 0


def _doubled(part: Any, start: Any) -> Any:
    return part * 2


def _from_start(part: Any, start: Any) -> Any:
    return start


def _off(part: Any, start: Any) -> Any:
    return part * part.dtype.type(1.01)


HOWS = {"zeroed": _zeroed, "doubled": _doubled, "the first tile's": _from_start, "1 % off": _off}


def _regions(sizes: tuple[int, ...]) -> list[tuple[str, str, Region, int]]:
    """Family, name, region, and a size at which it shows."""
    found = []
    for s in sizes:
        reach = next(r for r in (8, 33, 129, 513, 4096) if s <= r)
        found += [(f"tail up to {reach}", f"> {s}, the tail", _beyond(s), s + 2)]
        found += [(f"last up to {reach}", f"> {s}, the last", _last(s), s + 1)]
        found += [(f"one index up to {reach}", f"> {s}, index {s}", _only(s), s + 2)]
    for m in (m for m in MULTIPLES if 2 * m <= max(sizes)):
        found += [("remainder", f"no multiple of {m}, the rest", _remainder(m), 2 * m + m // 2 + 1)]
        found += [("multiple", f"a multiple of {m}, the last {m}", _whole(m), 2 * m)]
    return found


def _rows(array: Any, names: tuple[str, ...]) -> Any:
    """The array with exactly these axes, or None; "n" stands for all leading axes."""
    if names[0] == "n":
        kept = len(names) - 1
        return array.reshape(-1, *array.shape[array.ndim - kept :]) if array.ndim >= len(names) else None
    return array if array.ndim == len(names) else None


def damaged(array: Any, names: tuple[str, ...], axis: str, region: Region, how: Callable[[Any, Any], Any]) -> Any:
    """A copy of the array, wrong at a region of an axis."""
    if (view := _rows(np.array(array), names)) is None:
        return array
    view = np.moveaxis(view, names.index(axis), 0)
    if len(index := region(view.shape[0])):
        view[index] = how(view[index], view[np.arange(len(index)) % max(index[0], 1)])
    return np.moveaxis(view, 0, names.index(axis)).reshape(array.shape)


def _length(array: Any, names: tuple[str, ...], axis: str) -> int:
    rows = _rows(array, names)
    return 0 if rows is None else int(rows.shape[names.index(axis)])


def _places(operation: str, part: str) -> Iterator[tuple[str, ...]]:
    """Each argument, dy, each output; and all arguments at once that share an axis."""
    axes = AXES[operation]
    for name in axes.of(part):
        yield (name,)
    for axis in ("D", "C", "F"):
        sharing = tuple(name for name, names in axes.arguments.items() if axis in names)
        if len(sharing) > 1 and "n" not in axes.arguments[sharing[0]]:
            yield sharing


def _functions(operation: str, part: str, places: tuple[str, ...], axis: str, region: Region, how: Any) -> Any:
    """The mistake in arguments or in an output. It sets in where the region isn't empty."""
    axes = AXES[operation].of(part)
    outputs = list(AXES[operation].outputs if part == "value" else AXES[operation].gradients)
    if places[0] not in outputs:
        return on_arguments(
            operation, part, lambda given: {p: damaged(given[p], axes[p], axis, region, how) for p in places}
        )
    index = outputs.index(places[0])
    return on_outputs(
        operation,
        part,
        lambda results, _: [
            damaged(r, axes[places[0]], axis, region, how) if i == index else r for i, r in enumerate(results)
        ],
    )


def _dims(operation: str, axis: str, n: int) -> dict[str, int]:
    """Sizes of a witness: the axis as wanted, the others small, small enough for exact arithmetic."""
    dims = {axis[0]: 2 * n} if axis.endswith("/2") else {axis: n}
    if operation in ("prototypes", "prototypical_loss") and n > 100:
        dims |= {"M": 3} if axis != "M" else {"D": 3}
    if n > 30 and operation.startswith("conv"):
        small = {"H": {"W": 2}, "W": {"H": 2}, "N": {"H": 2, "W": 2}, "C": {"H": 2, "W": 2}, "F": {"H": 2, "W": 2}}
        dims = {"C": 2, "F": 2, "N": 2} | small[axis[0]] | dims
    return dims


def one_axis() -> Iterator[Mutant]:
    """For each axis of each place a few sizes and effects, dealt out in turn so that all occur."""
    for operation in OPERATIONS:
        imaged = "H" in str(AXES[operation])
        deals: dict[str, Iterator[Any]] = {}
        for part in PARTS:
            for places in _places(operation, part):
                for axis in AXES[operation].of(part)[places[0]]:
                    if axis == "3" or (
                        len(places) > 1 and any(axis not in AXES[operation].of(part)[p] for p in places)
                    ):
                        continue
                    if axis not in deals:
                        sizes = IMAGE[axis[0]] if imaged else WIDE
                        cards = list(itertools.product(_regions(sizes), HOWS.items()))
                        random.Random(operation + axis).shuffle(cards)
                        deals[axis] = itertools.cycle(cards)
                    for (family, title, region, n), (effect, how) in itertools.islice(deals[axis], EACH):
                        dtype = "float32" if n < 200 and len(title) % 2 else "float64"
                        call = witness(operation, part, dtype, **_dims(operation, axis, n))
                        functions = _functions(operation, part, places, axis, region, how)
                        name = f"{'+'.join(places)} where {axis} is {title} {effect}"
                        yield from planted(f"size: {family}", name, call, functions)


def two_axes() -> Iterator[Mutant]:
    """The tail of one axis is wrong, but only where another one is long too."""
    for operation in OPERATIONS:
        arguments = AXES[operation].arguments
        owners = {axis: name for name, names in reversed(arguments.items()) for axis in names if axis != "3"}
        every = 4 if operation.startswith("conv") else 2  # of the larger operations some
        sizes = (4, 8) if operation.startswith("conv") else (4, 8, 16) if operation == "max_pool2d" else BOTH
        for part in PARTS:
            axes = AXES[operation].of(part)
            triples = [
                (place, axis, other)
                for place, names in axes.items()
                for axis in names
                for other in owners
                if axis != "3" and axis[0] != other[0]
            ]
            for turn, (place, axis, other) in enumerate(triples[::every]):
                s, (effect, how) = sizes[turn % len(sizes)], list(HOWS.items())[turn % len(HOWS)]
                functions = _joint(operation, part, place, axis, owners[other], other, s, how)
                dims = _dims(operation, axis, s + 2) | {other: s + 2}
                if operation.startswith("conv"):
                    dims = {"N": 2, "H": 4, "W": 4, "C": 2, "F": 2} | dims
                call = witness(operation, part, "float64", **dims)
                title = f"{place} where {axis} > {s} and {other} > {s}, the tail {effect}"
                yield from planted("size: two axes", title, call, functions)


def _joint(operation: str, part: str, place: str, axis: str, other: str, name: str, s: int, how: Any) -> Any:
    """The tail of `axis` is wrong if argument `other` has more than s of `name`."""
    one = _functions(operation, part, (place,), axis, _beyond(s), how)
    plain = _functions(operation, part, (place,), axis, lambda n: np.arange(0), how)
    position = list(AXES[operation].arguments).index(other)
    position = {"query": 2}.get(other, position)
    key = operation + ("_vjp" if part == "vjp" else "")
    wrong, correct = getattr(one, key), getattr(plain, key)
    names = AXES[operation].arguments[other]

    def function(*args: Any, **parameters: Any) -> Any:
        chosen = wrong if _length(args[position], names, name) > s else correct
        return chosen(*args, **parameters)

    setattr(one, key, function)
    return one


def metrics() -> Iterator[Mutant]:
    """The loss of many classes is wrong beyond a size for one metric alone."""
    operation = "distance_cross_entropy"
    for name, metric in METRICS.items():
        for part in PARTS:
            for axis, places in {"N": ("x",), "M": ("c",), "D": ("x", "c")}.items():
                for s in (8, 33, 129):
                    wrong = _functions(operation, part, places, axis, _beyond(s), _off)
                    functions = _for_metric(operation, part, metric, wrong)
                    call = witness(operation, part, "float64", {"distance": metric}, **{axis: s + 2})
                    title = f"{name}: {'+'.join(places)} where {axis} > {s}, the tail 1 % off"
                    yield from planted("size: one metric", title, call, functions)


def _for_metric(operation: str, part: str, metric: Any, wrong: Any) -> Any:
    """Functions that are wrong for a kind of metric, and right for the others."""
    mistaken = getattr(wrong, operation + ("_vjp" if part == "vjp" else ""))

    def function(original: Any, *args: Any, distance: Any) -> Any:
        alike = type(distance) is type(metric) and distance.parameters.get("per") == metric.parameters.get("per")
        return (mistaken if alike else original)(*args, distance=distance)

    return replaced(operation, part, function)


def mutants() -> Iterator[Mutant]:
    yield from one_axis()
    yield from two_axes()
    yield from metrics()
