"""Comparisons as lines of text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from leakysm.runs.environment import linear_algebra
from leakysm.tables import columns

HEADER = ("size", "beside", "", "ours", "theirs", "theirs / ours")
CORETYPE = "OPENBLAS_CORETYPE"  # makes OpenBLAS take the kernels of another processor, often half as fast
UNRELIABLE = "loses small distances"


def kernels_line() -> str:
    """The libraries of NumPy's matrix products, and their kernels, on which the speed of a training step depends."""
    libraries = ", ".join(f"{one['name']} {one['version']}, kernels {one['kernels']}" for one in linear_algebra())
    chosen = os.environ.get(CORETYPE)
    hint = f" (chosen by {CORETYPE}; unset it to use the kernels of this processor)" if chosen else ""
    return f"NumPy's matrix products: {libraries or 'unknown'}{hint}\n"


def lines(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of median, quartiles and ratio for each contender; then the fastest peer for each size."""
    table = columns(HEADER, [_row(c) for c in comparisons], rule=False)
    return [*table, "", *verdicts(comparisons)]


def verdicts(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each size: the fastest peer that does the same work with the same accuracy."""
    texts = []
    for size in dict.fromkeys(c["size"] for c in comparisons):
        rivals = [c for c in comparisons if c["size"] == size and c["kind"] == "peer" and _counts(c)]
        if rivals:
            best = min(rivals, key=lambda c: c["ratio"])
            texts.append(f"{size}: the fastest peer, {best['peer']}, takes {best['ratio']:.2f} times our time")
    return texts


def memory_lines(peaks: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line for each process that was measured."""
    return [f"peak memory, {p['size']}: {p['contender']} {p['megabytes']:.0f} MB" for p in peaks]


def _counts(comparison: Mapping[str, Any]) -> bool:
    return bool(comparison.get("keeps_small_distances", True))


def _row(comparison: Mapping[str, Any]) -> tuple[str, ...]:
    note = comparison["kind"] if _counts(comparison) else UNRELIABLE
    times = (_time(comparison[side]) for side in ("ours", "theirs"))
    return comparison["size"], comparison["peer"], note, *times, f"{comparison['ratio']:.2f}"


def _time(seconds: Sequence[float]) -> str:
    """Median and quartiles in a fitting unit."""
    unit, factor = ("s", 1.0) if seconds[0] >= 1 else ("ms", 1e3)
    median, lower, upper = (f"{s * factor:.3g}" for s in seconds)
    return f"{median} {unit} ({lower}-{upper})"
