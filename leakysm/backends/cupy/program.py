"""Record kernel launches instead of starting them, so that they can be run again and again as one program.

While a program is recorded nothing runs: code that launches our own kernels, and nothing else, leaves its launches
here, and the arrays that it makes stay with them. Launches `beside` the main line depend on all before them, and
nothing depends on them until `join`: on a GPU they fill what the main line leaves idle.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from leakysm.backends.cupy.kernels import Kernels, Launch


class Recorder(Kernels):
    """Kernels that are recorded, not started; `kernels` starts them later."""

    def __init__(self, kernels: Kernels) -> None:
        self.kernels = kernels
        self.xp = kernels.xp
        self.products = kernels.products
        self.tiling = kernels.tiling
        self.launches: list[Launch] = []
        self._beside = False
        self._joins = False

    def address(self, array: Any) -> int:
        return self.kernels.address(array)

    def start(self, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        self.launches.append(Launch(name, grid, block, arguments, self._beside, self._joins))
        self._joins = False

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Launches that the main line does not wait for before `join`."""
        self._beside = True
        try:
            yield
        finally:
            self._beside = False

    def join(self) -> None:
        """What follows needs everything before it."""
        self._joins = True
