"""The reference engine: the reference operations, on NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.backends.protocol import Engine


class ReferenceEngine(Engine):
    """Every registered operation, untuned, through `reference_pair`."""

    name = "reference"
    xp = np

    def __init__(self) -> None:
        self.pairs = {}

    def asarray(self, host: Any, dtype: Any = None) -> np.ndarray:
        return np.asarray(host, dtype=dtype)

    def to_host(self, array: Any) -> np.ndarray:
        return np.asarray(array)
