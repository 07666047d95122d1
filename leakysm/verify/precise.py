"""50-digit arithmetic on NumPy object arrays, for the oracle.

The numbers are gmpy2's `mpfr` of 170 bits (51 decimal digits) with an exponent range that nothing here leaves. Every
float16, float32 and float64 is one such number exactly. gmpy2's operators take their precision from a context: whatever
computes with these numbers runs inside `precisely` or `arithmetic()`, and the caller's own context stays as it was.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

import gmpy2
import numpy as np

Array = Any  # a NumPy array of dtype object, holding mpfr numbers
Magnitude = Any  # of terms, for an error's scale: a float64 array where that is safe, else an `Array`

BITS = 170
MODERATE = 2.0**64  # magnitudes from 1 / MODERATE to MODERATE may be computed with in float64
_ALL_DIGITS = ContextVar("_ALL_DIGITS", default=False)  # whether magnitudes have 50 digits as well

_Function = TypeVar("_Function", bound=Callable[..., Any])


@contextlib.contextmanager
def arithmetic() -> Iterator[None]:
    """Inside, operators compute with BITS bits, and floats without warnings, as 50-digit numbers do."""
    with gmpy2.context(gmpy2.context(), precision=BITS), np.errstate(all="ignore"):
        yield


@contextlib.contextmanager
def all_digits() -> Iterator[None]:
    """Inside, magnitudes have 50 digits as well: those of published cases stay the same, to the last bit."""
    token = _ALL_DIGITS.set(True)
    try:
        yield
    finally:
        _ALL_DIGITS.reset(token)


def precisely(function: _Function) -> _Function:
    """The function, run inside `arithmetic()`."""

    @functools.wraps(function)
    def inside(*arguments: Any, **keywords: Any) -> Any:
        with arithmetic():
            return function(*arguments, **keywords)

    return inside  # type: ignore[return-value]


ZERO: Any = gmpy2.mpfr(0)
ONE: Any = gmpy2.mpfr(1)
TWO: Any = gmpy2.mpfr(2)
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


def only(condition: Any, a: Any) -> Any:
    """a, an `Array` or magnitudes, where the condition holds, else 0."""
    return np.where(condition, a, _zero(a))


def total(a: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """The sum along an axis, all axes by default, of an `Array` or of magnitudes; 0 for an empty one."""
    array = np.asarray(a)
    result = np.add.reduce(array, axis=axis, initial=_zero(array))
    return boxed(result) if array.dtype == object and not isinstance(result, np.ndarray) else np.asarray(result)


def largest(a: Any, axis: int | tuple[int, ...]) -> Any:
    """The maximum along an axis of nonnegative numbers, an `Array` or magnitudes; 0 for an empty one."""
    return np.maximum.reduce(a, axis=axis, initial=_zero(a))


def _zero(a: Any) -> Any:
    return ZERO if a.dtype == object else 0.0


def magnitude(a: Any) -> Magnitude:
    """|a|, for the scale of an error and for what underflow may cost.

    These need no more than float64. Its range might not be enough for very large or small numbers and their products:
    among such numbers, all stay in 50 digits.
    """
    array = np.asarray(a)
    if _ALL_DIGITS.get():
        return abs(exact(array))
    floats = np.abs(rounded(array))
    none = floats == 0
    moderate = (floats <= MODERATE) & (floats >= 1 / MODERATE) | none
    if np.all(moderate) and not (array.dtype == object and np.any(array[none] != 0)):
        return floats
    return abs(exact(array))


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


def in_floats(a: Array, b: Array, terms: int) -> tuple[Any, Any] | None:
    """Both arrays in float64, if sums of `terms` products of their numbers are exact there; else None.

    That holds, in any order, if all are multiples of a power of two, and no sum of products needs more than 53 bits.
    a, b: 50-digit numbers or floats.
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
    pairs = zip(floats, (a, b), strict=True)
    same = all(array.dtype != object or np.all(exact(values) == array) for values, array in pairs)
    return floats if same else None


def rounded(a: Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The nearest float64s; beyond their range +-inf. Magnitudes in float64 pass through."""
    return np.asarray(a).astype(np.float64, copy=False)
