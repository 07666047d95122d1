"""50-digit arithmetic on NumPy object arrays, for the oracle.

The numbers are gmpy2's `mpfr` of 170 bits (51 decimal digits) with an exponent range that nothing here leaves. Every
float16, float32 and float64 is one such number exactly. gmpy2's operators take their precision from a context: whatever
computes with these numbers runs inside `precisely` or `arithmetic()`, and the caller's own context stays as it was.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import gmpy2
import numpy as np

Array = Any  # a NumPy array of dtype object, holding mpfr numbers

BITS = 170
WORTH_FLOATS = 8  # with more multiplications for each number of two matrices, their product is tried in float64

_Function = TypeVar("_Function", bound=Callable[..., Any])


def arithmetic() -> Any:
    """A context manager inside which operators compute with BITS bits."""
    return gmpy2.context(gmpy2.context(), precision=BITS)


def precisely(function: _Function) -> _Function:
    """The function, run inside `arithmetic()`."""

    @functools.wraps(function)
    def inside(*arguments: Any, **keywords: Any) -> Any:
        with arithmetic():
            return function(*arguments, **keywords)

    return inside  # type: ignore[return-value]


ZERO: Any = gmpy2.mpfr(0)
ONE: Any = gmpy2.mpfr(1)
INF: Any = gmpy2.inf()
NAN: Any = gmpy2.nan()


def exact(values: Any) -> Array:
    """Floats (any shape) as 50-digit numbers, without rounding. Arrays of 50-digit numbers pass through."""
    array = np.asarray(values)
    if array.dtype == object:
        return array
    return elementwise(ONE.__mul__, array.astype(np.float64).astype(object))  # a tenth of the time of gmpy2.mpfr


def number(value: Any) -> Any:
    """One float as a 50-digit number."""
    return gmpy2.mpfr(float(value))


def elementwise(function: Callable[..., Any], *arrays: Any) -> Array:
    """function applied element by element, broadcasting; always an object array, 0-d and empty ones included."""
    with np.errstate(all="ignore"):  # NaN and inf are computed with like other numbers
        result = np.frompyfunc(function, len(arrays), 1)(*arrays)
    return result if isinstance(result, np.ndarray) else boxed(result)


def boxed(value: Any) -> Array:
    """One 50-digit number as a 0-d array."""
    array = np.empty((), dtype=object)
    array[()] = value
    return array


def zeros(shape: tuple[int, ...]) -> Array:
    return np.full(shape, ZERO, dtype=object)


def where(condition: Any, a: Any, b: Any) -> Array:
    """a where the condition holds, else b."""
    return np.where(condition, a, b)


def total(a: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """The sum along an axis, all axes by default; 0 for an empty one."""
    result = np.add.reduce(a, axis=axis, initial=ZERO)
    return result if isinstance(result, np.ndarray) else boxed(result)


def largest(a: Array, axis: int | tuple[int, ...]) -> Array:
    """The maximum along an axis of nonnegative numbers; 0 for an empty one."""
    return np.maximum.reduce(a, axis=axis, initial=ZERO)


def sqrt(a: Any) -> Array:
    return elementwise(gmpy2.sqrt, a)


def exp(a: Any) -> Array:
    """e^a. Equal numbers are worked out once."""
    known: dict[Any, Any] = {}

    def one(value: Any) -> Any:
        if value not in known:
            known[value] = gmpy2.exp(value)
        return known[value]

    return elementwise(one, a)


def log1p(a: Any) -> Array:
    return elementwise(gmpy2.log1p, a)


def atan(a: Any) -> Array:
    return elementwise(gmpy2.atan, a)


def is_nan(a: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(elementwise(gmpy2.is_nan, a), dtype=bool)


def matmul(a: Array, b: Array) -> Array:
    """a (n, k) times b (k, m)."""
    (n, k), m = a.shape, b.shape[1]
    if not k:
        return zeros((n, m))
    floats = in_floats(a, b, k) if n * k * m > WORTH_FLOATS * (n + m) * k else None
    return a @ b if floats is None else exact(floats[0] @ floats[1])


def in_floats(a: Array, b: Array, terms: int) -> tuple[Any, Any] | None:
    """Both arrays in float64, if sums of `terms` products of their numbers are exact there; else None.

    That holds, in any order, if all are multiples of a power of two, and no sum of products needs more than 53 bits.
    """
    bits, floats, lowest = np.log2(max(terms, 1)), (rounded(a), rounded(b)), 0
    for values in floats:
        if not np.all(np.isfinite(values)):
            return None
        mantissas, exponents = np.frexp(values[values != 0])
        if len(mantissas):
            whole = np.ldexp(mantissas, 53).astype(np.int64)
            last = int((np.frexp(whole & -whole)[1] - 54 + exponents).min())  # 2^last divides every number
            bits, lowest = bits + exponents.max() - last, lowest + last
    if bits > 53 or not -1000 < lowest < 900:
        return None
    same = all(np.all(exact(values) == array) for values, array in zip(floats, (a, b), strict=True))
    return floats if same else None


def rounded(a: Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The nearest float64s; beyond their range +-inf."""
    return np.asarray(a, dtype=object).astype(np.float64)
