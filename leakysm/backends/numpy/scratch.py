"""Buffers that a thread uses again and again, so that they stay in cache."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from leakysm.backends.numpy.memory import aligned


class Scratch(threading.local):
    """Each thread's own buffers, by name. A buffer's content lasts until the thread asks for the same name again.

    The last view of each buffer is kept too, for most calls ask for the same shape again.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, np.ndarray] = {}
        self._views: dict[str, np.ndarray] = {}
        self._padded: dict[str, np.ndarray] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An uninitialised C-contiguous array in buffer `name`."""
        last = self._views.get(name)
        if last is not None and last.shape == shape and last.dtype == dtype:
            return last
        size = math.prod(shape) * np.dtype(dtype).itemsize
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = aligned((size,), np.uint8)
        view = self._views[name] = np.ndarray(shape, dtype, buffer)
        return view

    def padded(self, name: str, shape: tuple[int, int, int, int], dtype: Any) -> np.ndarray:
        """(n, H, W, C) -> an array (n, H + 2, W + 2, C) with a border of zeros, which the caller must leave alone."""
        n, H, W, C = shape
        buffer = self._padded.get(name)
        if buffer is None or buffer.dtype != dtype or buffer.shape[1:] != (H + 2, W + 2, C) or len(buffer) < n:
            buffer = self._padded[name] = aligned((n, H + 2, W + 2, C), dtype)
            buffer[...] = 0
        return buffer[:n]
