"""How a length is cut into runs: of images, rows, points or coordinates."""

from __future__ import annotations

from functools import lru_cache

Runs = tuple[slice, ...]  # neighbours, in order


@lru_cache(maxsize=512)
def cut(length: int, step: int, multiple: int = 1) -> Runs:
    """[0, length) in runs of at most `step`, as equal as can be; their number a multiple of `multiple` if that fits."""
    n = max(1, -(-length // max(1, step)))
    n = max(n, min(-(-n // multiple) * multiple, length))
    return tuple(slice(length * k // n, length * (k + 1) // n) for k in range(n))
