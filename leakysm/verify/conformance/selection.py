"""Select the cases of an operation, and the manners and dtypes of their calls."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from leakysm.verify.adapters.arrays import EXPANDED, Way
from leakysm.verify.adapters.implementation import Implementation
from leakysm.verify.calls import Manner, in_turn, plainly, same
from leakysm.verify.case import Case
from leakysm.verify.conformance.settings import Settings
from leakysm.verify.flags import rank
from leakysm.verify.registry import Entry, Truth

BOTH_DTYPES = {"plain"}  # cases with these flags run in every dtype, even if the library compiles for each
HARD = ("far", "coincident", "contrast", "magnitude", "overflow")  # flags of cases that are hard
MOST_HARD = 3  # of each flag
IN_TURN = {
    "size",
    "corner",
    "limit",
    "magnitude",
    "contrast",
}  # cases with these flags then run in one dtype, which varies


def fixed_truths(implementation: Implementation, entry: Entry, settings: Settings) -> list[Truth]:
    """The fixed cases of an operation that the settings ask for."""
    truths = [t for t in entry.truths if settings.strict or not t.case.own]
    truths = [t for t in truths if t.case.size <= settings.most_numbers]
    if implementation.arrays.compiles:
        truths = few_sizes(truths)
    return truths[: settings.most_cases]


def planned(implementation: Implementation, entry: Entry, settings: Settings) -> list[tuple[Truth, Manner]]:
    """The fixed cases in the order of their calls, and the manner of each call.

    Purity comes first. If an earlier call has changed a setting of the program, a later change of it cannot be seen.
    """
    truths = fixed_truths(implementation, entry, settings)
    most = 1 if implementation.arrays.compiles else 2
    pure = watched(truths, most) if settings.purity else []
    calls = [(truth, manner) for truth in pure for manner in watching(implementation, truth.case)]
    if pure and not implementation.arrays.compiles:
        for turn, truth in enumerate(largest(truths)):
            dtypes = chosen_dtypes(implementation, truth.case, settings)
            if dtypes:
                dtype = dtypes[turn % len(dtypes)]
                calls.append((truth, replace(plainly(truth.case), purity=True, dtype=dtype)))
    if implementation.arrays.compiles:
        calls += [(truth, plainly(truth.case)) for first in pure[:1] for truth in hard(truths, first)]
    calls += [(flipped(truth), plainly(truth.case)) for truth in pure[:1]]
    calls += [(truth, in_turn(implementation, truth.case, turn)) for turn, truth in enumerate(truths)]
    return calls + list(in_other_ways(implementation, entry, truths))


def in_other_ways(
    implementation: Implementation, entry: Entry, truths: Sequence[Truth]
) -> Iterator[tuple[Truth, Manner]]:
    """Every case's value in one of the ways to call it, in turn; the plain and the largest cases' gradients in each."""
    definition, compiles = entry.definition, implementation.arrays.compiles
    ways = {
        name: way
        for name, way in implementation.arrays.ways.items()
        if (implementation.differentiates(entry.operation) or not way.autodiff)
        and (any(a.kind == "labels" for a in definition.arguments) or way.labels is None)
        and (len(entry.gradients) > 1 or name != "alone")
    }
    for turn, truth in enumerate(truths):
        fitting = [name for name, way in ways.items() if "value" in way.parts and fits(truth, name, way)]
        if fitting:
            yield truth, replace(plainly(truth.case), way=fitting[turn % len(fitting)])
    plain = [t for t in truths if "plain" in t.case.flags or t.case.name == "same-points"]
    few = plain[:1] if compiles else dict.fromkeys([*plain, *largest(truths)])
    for name, way in ways.items():
        if "vjp" in way.parts:
            yield from ((t, replace(plainly(t.case), way=name, compiled=True)) for t in few if fits(t, name, way))


def fits(truth: Truth, name: str, way: Way) -> bool:
    """Whether a case can be called in a way: for uint8 its labels are below 256, for `shared` two arrays are equal."""
    case = truth.case
    if way.shared:
        return any(same(a, b) for a, b in itertools.combinations(case.floats, 2))
    labels = [a for a, kind in zip(case.arguments, case.definition.arguments, strict=True) if kind.kind == "labels"]
    return name != "uint8" or all(np.max(a, initial=0) < 256 for a in labels)


def chosen_dtypes(implementation: Implementation, case: Case, settings: Settings) -> list[str]:
    """The dtypes to run a case in. Where a library compiles for each, most cases run in one of them only."""
    dtypes = [dtype for dtype in settings.dtypes if dtype in case.dtypes]
    if not implementation.arrays.compiles or BOTH_DTYPES & set(case.flags):
        return dtypes
    first = zlib.crc32(case.name.encode()) % len(dtypes) if IN_TURN & set(case.flags) and dtypes else 0
    return dtypes[first : first + 1]


def few_sizes(truths: Sequence[Truth]) -> list[Truth]:
    """The cases without the sizes that add nothing, for a library that compiles for each shape and each parameter.

    A kept case has an axis of a length that none before it had, or two long axes whose pair is new. Lengths from one
    power of 8 to the next count as one. Of the corners of a loss's metric that are not in the reference vectors every
    sixth is kept: the distances keep all of theirs.
    """
    known: set[tuple[int, ...]] = set()
    kept, corners = [], itertools.count()
    for truth in truths:
        case = truth.case
        if "corner" in case.flags and "distance" in case.parameters and not case.stored and next(corners) % 6:
            continue
        if "size" in case.flags:
            lengths = [n for a in (*case.arguments, case.dy) for n in np.shape(a)]
            powers = [(n.bit_length() - 1) // 3 for n in lengths]
            long = [axis for axis, power in enumerate(powers) if power]
            seen = {*enumerate(powers), *((a, b, -1) for a, b in itertools.combinations(long, 2))}
            if seen <= known:
                continue
            known |= seen
        kept.append(truth)
    return kept


def watched(truths: Sequence[Truth], most: int) -> list[Truth]:
    """The cases whose purity is checked, and the first of them once more with a constant dy.

    They are the plainest and smallest of different parameters, with finite numbers and a dy that is not all 0.
    """
    ordinary = [
        t
        for t in truths
        if not t.case.own
        and np.any(np.asarray(t.case.dy) != 0)
        and all(np.size(a) > 1 and np.all(np.isfinite(a)) for a in t.case.floats)
    ]
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


def flipped(truth: Truth) -> Truth:
    """The same numbers in another order. An answer that is kept for the sums of its arguments is wrong here."""
    case, kinds = truth.case, truth.case.definition.arguments
    arguments = tuple(np.flip(a) if k.kind == "array" else a for a, k in zip(case.arguments, kinds, strict=True))
    return Truth(truth.entry, replace(case, name=f"{case.name}-flipped", arguments=arguments, note=""))


def hard(truths: Sequence[Truth], like: Truth) -> list[Truth]:
    """Cases with another one's shapes and parameters on which a naive formula fails, for calls that are not compiled.

    Such a call compiles every step for every shape. These need nothing compiled anew.
    """
    alike = [t for t in truths if _shapes(t) == _shapes(like)]
    return list(dict.fromkeys(t for flag in HARD for t in [t for t in alike if flag in t.case.flags][:MOST_HARD]))


def _shapes(truth: Truth) -> tuple[Any, ...]:
    case = truth.case
    return [np.shape(a) or a for a in case.arguments], np.shape(case.dy), repr(dict(case.parameters))


def largest(truths: Sequence[Truth]) -> list[Truth]:
    """The cases with the longest axes: memory may be used again, or work shared among threads, for those alone."""
    shapes = {
        t: [*(n for a in t.case.floats for n in np.shape(a)), np.size(t.case.dy)]
        for t in truths
        if "size" in t.case.flags
    }
    axes = range(min(map(len, shapes.values()), default=0))
    return list(dict.fromkeys(max(shapes, key=lambda t: shapes[t][axis]) for axis in axes))


def watching(implementation: Implementation, case: Case) -> list[Manner]:
    """The manners in which purity is checked: every layout, or an expanded dy for a case whose dy is constant."""
    count = len(case.arguments)
    if case.name.endswith("-summed"):
        return [Manner((*("contiguous",) * count, EXPANDED), purity=True)]
    return [Manner((layout,) * (count + 1), purity=True) for layout in implementation.arrays.layouts]
