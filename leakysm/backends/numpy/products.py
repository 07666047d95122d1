"""Matrix products cut into pieces that BLAS multiplies where they lie.

OpenBLAS copies a product's operands into its own order first, but not those of a small one (SMALL multiplications):
on tall and narrow matrices a stack of small products is some 15 % faster than the one product that it makes up.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SMALL = 1_000_000  # multiplications
COLUMNS = (32, 64)  # of one small product of a transposed matrix, at least and at most,
RESULTS = 2048  # and about so many results of it
LANES = 8  # rows are taken in multiples of these
TRANSPOSED = 8_000  # values that are put in order at next to no cost
MANY = 64  # rows of a small product whose rest, not so many, is worth avoiding
FEWEST = 16  # rows of a small product that is worth its call


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a b. a (m, k), b (k, n), out (m, n) contiguous."""
    (m, k), n = a.shape, b.shape[1]
    if b.size <= TRANSPOSED:
        b = np.ascontiguousarray(b)  # a small product reads it as it lies
    most = SMALL // max(1, k * n) // LANES * LANES
    if most < FEWEST or most >= m:
        np.matmul(a, b, out=out)
        return
    rows = _rows(m, most)
    full = m // rows * rows
    np.matmul(a[:full].reshape(-1, rows, k), b, out=out[:full].reshape(-1, rows, n))
    if full < m:
        np.matmul(a[full:], b, out=out[full:])


@lru_cache(maxsize=256)
def _rows(m: int, most: int) -> int:
    """The rows of a small product: a divisor of m, in multiples of LANES if that can be; else, and if few, `most`."""
    found = [r for r in range(most // 2 + 1, most + 1) if m % r == 0 and (r % LANES == 0 or most >= MANY)]
    return max(found, key=lambda r: (r % LANES == 0, r), default=most)


@lru_cache(maxsize=64)
def _width(k: int, n: int) -> int:
    """The columns of a small product a^T b, a divisor of n."""
    least, most = COLUMNS
    wanted = min(n, max(least, min(most, RESULTS // max(1, k))))
    return next((width for width in range(wanted, 0, -1) if n % width == 0), 1)


class TransposedProduct:
    """The sum of a^T b over many a (m, k) and b (m, n), in the order in which they are added."""

    def __init__(self, k: int, n: int, dtype: np.dtype) -> None:
        self._width = _width(k, n)
        self._rows = max(1, SMALL // max(1, k * self._width))
        shape = (n // self._width, k, self._width)
        self._sum, self._part = np.zeros(shape, dtype), np.empty(shape, dtype)

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """Add a^T b, b contiguous in its rows."""
        m = len(a)
        pieces = max(1, -(-m // self._rows))
        for i in range(pieces):
            rows = slice(m * i // pieces, m * (i + 1) // pieces)
            strips = b[rows].reshape(-1, len(self._sum), self._width).transpose(1, 0, 2)
            self._sum += np.matmul(a[rows].T, strips, out=self._part)

    def value(self) -> np.ndarray:
        """The sum, (k, n)."""
        strips, k, width = self._sum.shape
        return self._sum.transpose(1, 0, 2).reshape(k, strips * width)
