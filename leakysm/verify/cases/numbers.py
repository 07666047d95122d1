"""Numbers for fixed cases: the same on every machine and with every NumPy, with any number of bits."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]


def noise(name: str, *shape: int, bits: int = 24) -> Floats:
    """Numbers in [-1, 1) keyed by a name, multiples of 2^(1 - bits): 24 bits fit float32, 11 float16, 53 float64 alone.

    They are made from the generator's raw words, because NumPy may change its distributions.
    """
    words = np.random.Philox(key=zlib.crc32(name.encode())).random_raw(int(np.prod(shape, dtype=int)))
    integers = (words >> np.uint64(64 - bits)).astype(np.int64) - (1 << (bits - 1))
    return (integers.astype(np.float64) / (1 << (bits - 1))).reshape(shape)


def single(values: Any) -> Floats:
    """Rounded to float32, kept as float64."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(values, dtype=np.float32).astype(np.float64)


def half(values: Any) -> Floats:
    """Rounded to float16, kept as float64."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(values, dtype=np.float16).astype(np.float64)


def whole(name: str, *shape: int, low: int = -3, high: int = 3) -> Floats:
    """Integers from low to high, keyed by a name."""
    return np.floor((noise(name, *shape) + 1) / 2 * (high - low + 1)) + low


def cyclic(n: int, classes: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Labels 0, 1, ..., classes - 1, 0, 1, ..."""
    return np.arange(n, dtype=np.int64) % classes


def cotangent(name: str, shape: tuple[int, ...], *inputs: Any) -> Floats:
    """Signed cotangents of as many bits as the inputs have: 11 where float16 holds them, 24 where float32 does, or 53."""
    floats = [np.asarray(a, dtype=np.float64) for a in inputs]
    fits = (all(np.array_equal(rounded(a), a, equal_nan=True) for a in floats) for rounded in (half, single))
    bits = next((b for b, holds in zip((11, 24), fits, strict=True) if holds), 53)
    return noise("dy " + name, *shape, bits=bits)
