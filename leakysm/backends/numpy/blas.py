"""The BLAS that NumPy calls for matrix products: its kernels, and its threads."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

# OpenBLAS's kernels that multiply small matrices where they lie. All others copy both factors into their own order
# first, however small they are.
IN_PLACE = {"SkylakeX", "Cooperlake", "SapphireRapids"}


@cache
def libraries() -> list[Any]:
    """The loaded BLAS libraries, as threadpoolctl controls them. Finding them takes milliseconds."""
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@cache
def multiplies_in_place() -> bool:
    """Whether small products are made without copying."""
    return any(getattr(library, "architecture", None) in IN_PLACE for library in libraries())


class _SingleThreadedBlas:
    """Holds BLAS to one thread while any thread is inside. The limit is the process's, so entries are counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[int] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = [library.num_threads for library in libraries()]
                for library in libraries():
                    library.set_num_threads(1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for library, threads in zip(libraries(), self._before, strict=True):
                    library.set_num_threads(threads)


single_threaded_blas = _SingleThreadedBlas()
