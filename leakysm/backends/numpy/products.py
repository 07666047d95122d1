"""Matrix products cut into pieces that BLAS multiplies where they lie.

OpenBLAS copies a product's operands into its own order first, but not those of a small one (SMALL multiplications):
on tall and narrow matrices a stack of small products is some 15 % faster than the one product that it makes up.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from leakysm.backends.numpy.block.channels import pairwise_sum

SMALL = 1_000_000  # multiplications
COLUMNS = (32, 64)  # of one small product of a transposed matrix, at least and at most,
RESULTS = 2048  # and about so many results of it
LANES = 8  # rows are taken in multiples of these
TRANSPOSED = 8_000  # values that are put in order at next to no cost
MANY = 64  # rows of a small product whose rest, not so many, is worth avoiding
LONGEST = 256  # rows of a product that is summed over them
STACKED = 1 << 14  # results of a stack of such products
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
    """The sum of a^T b over many a (m, k) and b (m, n), in products over at most LONGEST rows, added by halves.

    So it errs little where all terms are alike. Small products come in stacks, for one call each.
    """

    def __init__(self, k: int, n: int, dtype: np.dtype) -> None:
        self._k, self._width, self._strips = k, _width(k, n), n // _width(k, n)
        self._rows, self._dtype = max(1, min(LONGEST, SMALL // max(1, k * self._width))), dtype
        self._stack = max(1, STACKED // max(1, k * n))
        self._sums: list[tuple[int, np.ndarray]] = []  # of 2^i stacks each, i falling
        self._spare: list[np.ndarray] = []

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """Add a^T b, b contiguous in its rows."""
        m = len(a)
        rows = max(1, m if m <= self._rows else _rows(m, self._rows))
        full = m // rows * rows
        for first in range(0, full, rows * self._stack):
            last = min(full, first + rows * self._stack)
            self._add(a[first:last], b[first:last], rows)
        if full < m:
            self._add(a[full:], b[full:], m - full)

    def _add(self, a: np.ndarray, b: np.ndarray, rows: int) -> None:
        parts = self._spare.pop() if self._spare else self._empty()
        products = parts[: len(a) // rows]
        left = a.reshape(-1, 1, rows, self._k).transpose(0, 1, 3, 2)
        np.matmul(left, b.reshape(-1, rows, self._strips, self._width).transpose(0, 2, 1, 3), out=products)
        if len(products) > 1:
            pairwise_sum(list(products))
        count = 1
        while self._sums and self._sums[-1][0] == count:
            parts, count = self._joined(parts), 2 * count
        self._sums.append((count, parts))

    def _empty(self) -> np.ndarray:
        """A stack's products; its first one will be their sum."""
        return np.empty((self._stack, self._strips, self._k, self._width), self._dtype)

    def _joined(self, parts: np.ndarray) -> np.ndarray:
        """The last sum, with that of `parts` added to it."""
        _, total = self._sums.pop()
        total[0] += parts[0]
        self._spare.append(parts)
        return total

    def value(self) -> np.ndarray:
        """The sum, (k, n). No product can be added any more."""
        if not self._sums:
            return np.zeros((self._k, self._strips * self._width), self._dtype)
        _, total = self._sums.pop()
        while self._sums:
            total = self._joined(total)
        found: np.ndarray = total[0].transpose(1, 0, 2).reshape(self._k, self._strips * self._width)
        return found
