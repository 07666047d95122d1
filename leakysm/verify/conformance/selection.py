"""Select the fixed cases of an operation, and the dtypes that each runs in."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence

import numpy as np

from leakysm.verify.adapters.implementation import Implementation
from leakysm.verify.conformance.settings import Settings
from leakysm.verify.registry import Entry, Truth

BOTH_DTYPES = {"plain"}  # stored cases with these flags run in every dtype, even if the library compiles for each
# Cases with these flags, and those that are not stored, then run in one dtype, which varies.
IN_TURN = {"size", "corner", "limit", "magnitude", "contrast"}
KEPT = {"contrast", "saturated", "ties", "large-mean"}  # flags of large cases that are kept for their data


def fixed_truths(implementation: Implementation, entry: Entry, settings: Settings) -> list[Truth]:
    """The fixed cases of an operation that the settings ask for."""
    truths = [t for t in entry.truths if settings.strict or not t.case.own]
    truths = [t for t in truths if t.case.size <= settings.most_numbers]
    if implementation.arrays.compiles:
        truths = few_sizes(truths)
    return truths[: settings.most_cases]


def chosen_dtypes(implementation: Implementation, truth: Truth, settings: Settings) -> list[str]:
    """The dtypes to run a case in. Where a library compiles for each, most cases run in one of them only."""
    case = truth.case
    dtypes = [dtype for dtype in settings.dtypes if dtype in case.dtypes]
    if not implementation.arrays.compiles or (case.stored and BOTH_DTYPES & set(case.flags)):
        return dtypes
    varies = not case.stored or IN_TURN & set(case.flags)
    first = zlib.crc32(case.name.encode()) % len(dtypes) if varies and dtypes else 0
    return dtypes[first : first + 1]


def few_sizes(truths: Sequence[Truth]) -> list[Truth]:
    """The cases without the sizes that add nothing, for a library that compiles for each shape and each parameter.

    A kept case has hard data, an axis of a length that none before it had, or two long axes whose pair is new. Lengths
    from one power of 8 to the next count as one. Of the corners of a loss's metric that are not in the reference
    vectors every sixth is kept: the distances keep all of theirs.
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
            if seen <= known and not KEPT & {*case.flags}:
                continue
            known |= seen
        kept.append(truth)
    return kept
