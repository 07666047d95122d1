"""Sums of arrays whose rounding errors grow with the logarithm of their number."""

from __future__ import annotations

from typing import Any, TypeVar

from numpy.typing import NDArray

Part = TypeVar("Part", bound=NDArray[Any])


def pairwise_sum(parts: list[Part]) -> Part:
    """The sum of at least one array, added by halves: ceil(log2 n) roundings deep. It takes over the first's memory."""
    while len(parts) > 1:
        half = len(parts) // 2
        for i in range(half):
            parts[i] += parts[half + i]
        parts = parts[:half] + parts[2 * half :]
    return parts[0]
