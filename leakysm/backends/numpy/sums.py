"""Sums of arrays whose rounding errors grow with the logarithm of their number."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Part = TypeVar("Part", bound=NDArray[Any])


def pairwise_sum(parts: list[Part]) -> Part:
    """The sum of at least one array, added by halves: ceil(log2 n) roundings deep. It overwrites arrays of the list."""
    while len(parts) > 1:
        half = len(parts) // 2
        for i in range(half):
            parts[i] += parts[half + i]
        parts = parts[:half] + parts[2 * half :]
    return parts[0]


class RunningSum:
    """The sum of the first arrays of stacks, given one after another, added by halves. shape, dtype: of a stack."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self._shape, self._dtype = shape, dtype
        self._sums: list[tuple[int, NDArray[Any]]] = []  # (2^i, the sum of so many stacks), i falling
        self._spare: list[NDArray[Any]] = []

    def room(self) -> NDArray[Any]:
        """Memory for a stack that is to be added."""
        return self._spare.pop() if self._spare else np.empty(self._shape, self._dtype)

    def add(self, stack: NDArray[Any]) -> None:
        """Add a stack's first array. Its memory is the sum's from now on."""
        count = 1
        while self._sums and self._sums[-1][0] == count:
            stack, count = self._added_to_last(stack), 2 * count
        self._sums.append((count, stack))

    def _added_to_last(self, stack: NDArray[Any]) -> NDArray[Any]:
        """The last of the sums, with that of `stack` added to it."""
        _, total = self._sums.pop()
        total[0] += stack[0]
        self._spare.append(stack)
        return total

    def value(self) -> NDArray[Any]:
        """A stack whose first array is the sum of at least one. Nothing can be added any more."""
        _, total = self._sums.pop()
        while self._sums:
            total = self._added_to_last(total)
        return total

    @property
    def empty(self) -> bool:
        """Whether nothing has been added."""
        return not self._sums
