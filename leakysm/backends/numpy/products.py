"""Matrix products cut as it suits BLAS.

OpenBLAS copies a product's factors into its own order first. Its AVX-512 kernels do not copy those of a small one
(SMALL multiplications): on tall and narrow matrices a stack of small products is then some 15 % faster than one large
product, which saves a tenth of the time of a training step. Its other kernels copy in every call, so that one large
product is up to a quarter faster than small ones.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from leakysm.backends.numpy.arrays import Floats
from leakysm.backends.numpy.blas import multiplies_in_place
from leakysm.backends.numpy.sums import RunningSum, pairwise_sum

SMALL = 1_000_000  # multiplications of a product that OpenBLAS makes without copying, if its kernels can
WHOLE = 1 << 62  # more multiplications than any product has
FEWEST_COLUMNS, MOST_COLUMNS = 32, 64  # of one small product a^T b
RESULTS = 2048  # that a small product a^T b has, about
LANES = 8  # values that the processor computes at once: numbers of rows are multiples of it, if possible
IN_ORDER = 8_000  # values of a right operand up to which copying it into rows costs almost nothing
LONG = 64  # rows of a small product that is long: it need not be a multiple of LANES
LONGEST = 256  # rows of a product that is summed over them
STACKED = 1 << 14  # results of a stack of such products
FEWEST = 16  # rows of a small product that is worth its call


def _piece() -> int:
    """The multiplications of a piece, at most."""
    return SMALL if multiplies_in_place() else WHOLE


def multiply(a: Floats, b: Floats, out: Floats, *, small: int | None = None) -> None:
    """out = a b. a (m, k), b (k, n), out (m, n) contiguous. small: multiplications of a piece; None: as suits BLAS."""
    (m, k), n = a.shape, b.shape[1]
    small = _piece() if small is None else small
    if b.size <= IN_ORDER:
        b = np.ascontiguousarray(b)  # a small product reads it as it lies
    most = small // max(1, k * n) // LANES * LANES
    if most < FEWEST or most >= m:
        np.matmul(a, b, out=out)
        return
    rows = _rows(m, most)
    full = m // rows * rows
    np.matmul(a[:full].reshape(-1, rows, k), b, out=out[:full].reshape(-1, rows, n))
    if full < m:
        np.matmul(a[full:], b, out=out[full:])


def add_product(a: Floats, b: Floats, total: Floats, product: Floats) -> None:
    """total += a b. `product`, of the same shape and contiguous, is written over."""
    multiply(a, b, out=product)
    total += product


@lru_cache(maxsize=256)
def _rows(m: int, most: int) -> int:
    """How many rows each small product of a stack has, of m > most rows in all: above most / 2, at most `most`.

    1. The largest divisor of m that is a multiple of LANES: then no rows are left over, and all lanes are full.
    2. Else the largest divisor of m, if products are so long (LONG rows) that lanes that stay empty cost little.
    3. Else `most`, and the rows that are left over make a product of their own.
    """
    divisors = [rows for rows in range(most, most // 2, -1) if m % rows == 0]
    for rows in divisors:
        if rows % LANES == 0:
            return rows
    return divisors[0] if divisors and most >= LONG else most


@lru_cache(maxsize=64)
def _width(k: int, n: int) -> int:
    """The columns of a small product a^T b, a (m, k), b (m, n): a divisor of n."""
    wanted = min(n, max(FEWEST_COLUMNS, min(MOST_COLUMNS, RESULTS // max(1, k))))
    return next((width for width in range(wanted, 0, -1) if n % width == 0), 1)


class TransposedProduct:
    """The sum of a^T b over many a (m, k) and b (m, n): a gradient of weights, added up chunk by chunk.

    It is made of products over at most LONGEST rows, which are added by halves: so it errs little even where all terms
    are alike and every rounding goes the same way. Several products share a call, as a stack.
    """

    def __init__(self, k: int, n: int, dtype: np.dtype, *, small: int | None = None) -> None:
        self._k, self._dtype = k, dtype
        small = _piece() if small is None else small
        self._width = n if small == WHOLE else _width(k, n)
        self._strips = n // self._width  # b is multiplied strip by strip, `width` columns each
        self._rows = max(1, min(LONGEST, small // max(1, k * self._width)))
        self._stack = max(1, STACKED // max(1, k * n))
        self._sums = RunningSum((self._stack, self._strips, k, self._width), dtype)

    def add(self, a: Floats, b: Floats) -> None:
        """Add a^T b, b contiguous in its rows."""
        m = len(a)
        rows = max(1, m if m <= self._rows else _rows(m, self._rows))
        full = m // rows * rows
        for first in range(0, full, rows * self._stack):
            last = min(full, first + rows * self._stack)
            self._add_stack(a[first:last], b[first:last], rows)
        if full < m:
            self._add_stack(a[full:], b[full:], m - full)

    def _add_stack(self, a: Floats, b: Floats, rows: int) -> None:
        """Add a^T b in products over `rows` rows each; together they are one more stack."""
        parts = self._sums.room()
        products = parts[: len(a) // rows]
        left = a.reshape(-1, 1, rows, self._k).transpose(0, 1, 3, 2)
        np.matmul(left, b.reshape(-1, rows, self._strips, self._width).transpose(0, 2, 1, 3), out=products)
        if len(products) > 1:
            pairwise_sum(list(products))
        self._sums.add(parts)

    def value(self) -> Floats:
        """The sum, (k, n). No product can be added any more."""
        if self._sums.empty:
            return np.zeros((self._k, self._strips * self._width), self._dtype)
        total = self._sums.value()
        strips: Floats = total[0].transpose(1, 0, 2)
        return strips.reshape(self._k, self._strips * self._width)
