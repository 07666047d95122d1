"""Plan the calls of an operation's fixed cases, and the manner of each: layouts, ways to call, purity."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from leakysm.verify.adapters.arrays import EXPANDED, Way
from leakysm.verify.adapters.implementation import Implementation
from leakysm.verify.calls import Manner, in_turn, joinable, plainly, same
from leakysm.verify.case import Case
from leakysm.verify.conformance.selection import chosen_dtypes, fixed_truths
from leakysm.verify.conformance.settings import Settings
from leakysm.verify.flags import rank
from leakysm.verify.registry import Entry, Truth

HARD = ("far", "coincident", "contrast", "magnitude", "overflow")  # flags of cases that are hard
MANY = (100, 1200)  # numbers of the first array, in the cases that find functions which look at some of them only
LARGE = 1 << 15  # numbers of a large array, of which a checksum may read a part only
HUGE = 1 << 18  # a call of more numbers takes long: such cases are called in fewer ways
LONG = 500  # an axis is long that has more numbers
MOST_HARD = 3  # of each flag


def planned(implementation: Implementation, entry: Entry, settings: Settings) -> list[tuple[Truth, Manner]]:
    """The fixed cases in the order of their calls, and the manner of each call.

    Purity comes first. If an earlier call has changed a setting of the program, a later change of it cannot be seen.
    """
    truths = fixed_truths(implementation, entry, settings)
    pure = list(_checked_for_purity(implementation, truths, settings)) if settings.purity else []
    return [
        *pure,
        *_first_without_gradients(implementation, truths, [truth for truth, _ in pure]),
        *((truth, in_turn(implementation, truth.case, turn)) for turn, truth in enumerate(truths)),
        *_long_in_every_layout(implementation, truths, settings),
        *in_other_ways(implementation, entry, truths),
    ]


def _checked_for_purity(
    implementation: Implementation, truths: Sequence[Truth], settings: Settings
) -> Iterator[tuple[Truth, Manner]]:
    """The calls that are watched; then calls that show kept answers, or that need no further compiling."""
    compiles = implementation.arrays.compiles
    pure = watched(truths, 1 if compiles else 2)
    for truth in pure:
        yield from ((truth, manner) for manner in watching(implementation, truth.case))
    for truth in pure[:1]:
        ways = _possible_ways(implementation, truth.entry)
        for way in [way for way in ("leaf", "no-grad", "inference") if way in ways]:
            yield truth, replace(plainly(truth.case), way=way, purity=True)
    for turn, truth in enumerate(() if compiles else largest(truths)):
        dtypes = chosen_dtypes(implementation, truth, settings)
        if dtypes:
            dtype = "float32" if "float32" in dtypes and truth.case.size > HUGE else dtypes[turn % len(dtypes)]
            yield truth, replace(plainly(truth.case), purity=True, dtype=dtype)
    for first in pure[:1]:
        yield from ((truth, plainly(truth.case)) for truth in (hard(truths, first) if compiles else ()))
        for dtype in chosen_dtypes(implementation, first, settings):  # one directly after the other
            in_order = [first, flipped(first), first, flipped(first, inside=True)]
            if _has_labels(first.entry):
                in_order += [first, flipped(first, kind="labels")]
            yield from ((truth, replace(plainly(truth.case), dtype=dtype)) for truth in in_order)
    for truth in () if compiles else _alike_at_first(truths):
        yield truth, plainly(truth.case)


def _first_without_gradients(
    implementation: Implementation, truths: Sequence[Truth], called: Sequence[Truth]
) -> Iterator[tuple[Truth, Manner]]:
    """Calls without gradients, of shapes that were not called yet. What is kept of them must do no harm."""
    ways = [name for name in ("inference", "no-grad") if name in implementation.arrays.ways]
    known = {repr(_shapes(truth)[0]) for truth in called}
    new: dict[str, Truth] = {}  # the first of its shapes
    for truth in truths:
        shapes = repr(_shapes(truth)[0])
        if "size" not in truth.case.flags and shapes not in known:
            new.setdefault(shapes, truth)
    for truth, way in zip(new.values(), itertools.cycle(ways)):
        yield truth, replace(plainly(truth.case), way=way)


def _long_in_every_layout(
    implementation: Implementation, truths: Sequence[Truth], settings: Settings
) -> Iterator[tuple[Truth, Manner]]:
    """The smallest case with a long axis, of each axis, in every layout: long arrays may have a path for one layout."""
    if implementation.arrays.compiles:
        return
    lengths = _lengths(truths)
    chosen: dict[Truth, None] = {}
    for axis in _common_axes(lengths):
        long = [t for t in lengths if lengths[t][axis] > LONG and t.case.size < LARGE]
        chosen.update(dict.fromkeys(sorted(long, key=lambda t: t.case.size)[:1]))
    for turn, (truth, layout) in enumerate(itertools.product(chosen, [*implementation.arrays.layouts][1:])):
        dtypes = chosen_dtypes(implementation, truth, settings)
        if dtypes:
            yield truth, Manner((layout,) * (len(truth.case.arguments) + 1), dtype=dtypes[turn % len(dtypes)])


def in_other_ways(
    implementation: Implementation, entry: Entry, truths: Sequence[Truth]
) -> Iterator[tuple[Truth, Manner]]:
    """Cases in one of the ways that give a value, in turn; then plain and the largest cases in each way for gradients.

    For values: every case if the library differentiates the function, as PyTorch does, which has many ways. Else every
    third case, since such ways, NumPy's for example, give gradients too.
    """
    ways = _possible_ways(implementation, entry)
    some = truths if implementation.differentiates(entry.operation) else truths[::3]
    for turn, truth in enumerate(t for t in some if t.case.size <= HUGE):
        fitting = [name for name, way in ways.items() if "value" in way.parts and fits(truth, way)]
        if fitting:
            yield truth, replace(plainly(truth.case), way=fitting[turn % len(fitting)])
    for name, way in ways.items():
        if "vjp" in way.parts:
            compiled = name != "some"  # "some" compares numbers, which cannot be compiled
            for truth in _to_differentiate(truths, way, compiles=implementation.arrays.compiles):
                yield truth, replace(plainly(truth.case), way=name, compiled=compiled)


def _possible_ways(implementation: Implementation, entry: Entry) -> dict[str, Way]:
    """The ways in which an operation's functions can be called: some need autodiff, labels or several gradients."""
    differentiates, gradients = implementation.differentiates(entry.operation), len(entry.gradients)
    return {
        name: way
        for name, way in implementation.arrays.ways.items()
        if (differentiates or not way.autodiff)
        and (_has_labels(entry) or way.labels is None)
        and gradients > {"alone": 1, "some": 2}.get(name, 0)
    }


def _to_differentiate(truths: Sequence[Truth], way: Way, *, compiles: bool) -> list[Truth]:
    """The cases whose gradients are taken in a way: plain and the largest ones."""
    plain, long = [t for t in truths if "plain" in t.case.flags], largest(truths)
    if way.shared:  # only a few cases have equal arrays
        among = list(truths)
    elif compiles:
        among = plain[:1]
    elif way.labels or way.autodiff:
        among = list(dict.fromkeys([*plain, *long]))
    else:
        among = [*plain[:2], *long[:2]]
    if way.labels:  # a type of labels may be too small for many classes
        among += [t for t in truths if more_classes(t, way)]
    return [t for t in among if fits(t, way)]


def fits(truth: Truth, way: Way) -> bool:
    """Whether a case can be called in a way, which may need small labels, equal arrays, or rows of one shape."""
    case = truth.case
    if way.together:
        return joinable(case) is not None
    if way.shared:
        pairs = list(itertools.combinations(case.floats, 2))
        return any(same(b, a, swapped=swapped) for a, b in pairs for swapped in (False, True))
    labels = [a for a, kind in zip(case.arguments, case.definition.arguments, strict=True) if kind.kind == "labels"]
    return all(np.max(a, initial=0) < way.below for a in labels)


def more_classes(truth: Truth, way: Way) -> bool:
    """Whether there may be more classes, or numbers of the result, than the labels' type can count."""
    numbers = [*(n for a in truth.case.floats for n in np.shape(a)), np.size(truth.case.dy)]
    return any(number > way.below for number in numbers)


def watched(truths: Sequence[Truth], most: int) -> list[Truth]:
    """The cases whose purity is checked, and the first of them once more with a constant dy.

    They are the plainest and smallest of different parameters, with finite numbers and a dy that is not all 0.
    """
    ordinary = [t for t in truths if _is_ordinary(t)]
    wanted = "plain" if most == 1 else "square"
    ordered = sorted(ordinary or truths, key=lambda t: (t.case.name != wanted, rank(t.case.flags), t.case.size))
    chosen: dict[str, Truth] = {}
    for truth in ordered:
        chosen.setdefault(repr(dict(truth.case.parameters)), truth)
    few = list(chosen.values())[:most]
    if few and np.ndim(few[0].case.dy):
        first = few[0].case
        summed = replace(first, name=f"{first.name}-summed", dy=np.ones_like(np.asarray(first.dy, np.float64)), note="")
        few.append(Truth(few[0].entry, summed))
    return few


def _is_ordinary(truth: Truth) -> bool:
    case = truth.case
    finite = all(np.size(a) > 1 and np.all(np.isfinite(a)) for a in case.floats)
    return not case.own and finite and bool(np.any(np.asarray(case.dy) != 0))


def watching(implementation: Implementation, case: Case) -> list[Manner]:
    """The manners in which purity is checked: every layout, or an expanded dy for a case whose dy is constant."""
    count = len(case.arguments)
    if case.name.endswith("-summed"):
        return [Manner((*("contiguous",) * count, EXPANDED), purity=True)]
    return [Manner((layout,) * (count + 1), purity=True) for layout in implementation.arrays.layouts]


def _has_labels(entry: Entry) -> bool:
    return any(argument.kind == "labels" for argument in entry.definition.arguments)


def flipped(truth: Truth, *, kind: Literal["array", "labels"] = "array", inside: bool = False) -> Truth:
    """A case with its numbers, or its labels, in reverse order. An answer that is kept for sums, or for the other
    arguments, is wrong for it.

    inside: the first and the last number stay, for answers that are kept for these as well.
    """
    case, kinds = truth.case, truth.case.definition.arguments
    flip = _flipped_inside if inside else np.flip
    arguments = tuple(flip(a) if k.kind == kind else a for a, k in zip(case.arguments, kinds, strict=True))
    name = f"{case.name}-relabelled" if kind == "labels" else f"{case.name}-flipped{'-inside' * inside}"
    return Truth(truth.entry, replace(case, name=name, arguments=arguments, note=""))


def _flipped_inside(values: Any) -> Any:
    flat = np.array(values)
    flat.flat[1:-1] = np.ravel(values)[1:-1][::-1]
    return flat


def _alike_at_first(truths: Sequence[Truth]) -> Iterator[Truth]:
    """A case of many numbers, the same with other numbers in its second half or its middle, and with other last labels.

    An answer that is kept for the first and last numbers of its arguments is wrong for them.
    """
    ordinary = sorted(filter(_is_ordinary, truths), key=lambda t: t.case.size)
    smallest = (next((t for t in ordinary if np.size(t.case.floats[0]) >= many), None) for many in MANY)
    for truth in filter(None, smallest):
        case, kinds = truth.case, truth.case.definition.arguments
        tails = [_half_flipped(a) if k.kind == "array" else a for a, k in zip(case.arguments, kinds, strict=True)]
        middles = [_middle_exchanged(case.arguments[0]), *case.arguments[1:]]
        labels = [_exchanged(a) if k.kind == "labels" else a for a, k in zip(case.arguments, kinds, strict=True)]
        yield truth
        for name, arguments in (("tails", tails), ("middles", middles), ("labels", labels)):
            if name != "labels" or _has_labels(truth.entry):
                other = replace(case, name=f"{case.name}-other-{name}", arguments=tuple(arguments), note="")
                yield Truth(truth.entry, other)


def _half_flipped(values: Any) -> Any:
    flat = np.ravel(values)
    half = len(flat) // 2
    return np.concatenate([flat[:half], flat[half:][::-1]]).reshape(np.shape(values))


def _middle_exchanged(values: Any) -> Any:
    flat = np.array(values).ravel()
    middle = len(flat) // 2
    flat[middle - 1 : middle + 1] = flat[middle - 1 : middle + 1][::-1]
    return flat.reshape(np.shape(values))


def _exchanged(labels: Any) -> Any:
    """The labels with the last one, and the last one that differs from it, exchanged."""
    others = np.flatnonzero(labels != labels[-1])
    order = np.arange(len(labels))
    if len(others):
        order[[others[-1], -1]] = order[[-1, others[-1]]]
    return labels[order]


def hard(truths: Sequence[Truth], like: Truth) -> list[Truth]:
    """Cases on which a naive formula fails, with the shapes and parameters of `like`.

    They are called without being compiled as a whole. Then the library compiles every step for every shape, but it has
    compiled the steps for these shapes already.
    """
    alike = [t for t in truths if _shapes(t) == _shapes(like)]
    return list(dict.fromkeys(t for flag in HARD for t in [t for t in alike if flag in t.case.flags][:MOST_HARD]))


def _shapes(truth: Truth) -> tuple[Any, ...]:
    case = truth.case
    shapes = [np.shape(a) if isinstance(a, np.ndarray) else a for a in case.arguments]
    return shapes, np.shape(case.dy), repr(dict(case.parameters))


def largest(truths: Sequence[Truth]) -> list[Truth]:
    """The cases with the longest axes, and one with a large array.

    Memory may be used again, or work shared among threads, for those alone.
    """
    lengths = _lengths(truths)
    longest = [max(lengths, key=lambda t: lengths[t][axis]) for axis in _common_axes(lengths)]
    large = [t for t in lengths if max(map(np.size, t.case.floats)) >= LARGE]
    return list(dict.fromkeys([*longest, *sorted(large, key=lambda t: t.case.size)[:1]]))


def _lengths(truths: Sequence[Truth]) -> dict[Truth, list[int]]:
    """The lengths of the arguments' axes, and how many numbers the result has, of cases with the flag `size`."""
    return {
        t: [*(n for a in t.case.floats for n in np.shape(a)), np.size(t.case.dy)]
        for t in truths
        if "size" in t.case.flags
    }


def _common_axes(lengths: dict[Truth, list[int]]) -> range:
    """The places in the lists of lengths that all cases have."""
    return range(min(map(len, lengths.values()), default=0))
