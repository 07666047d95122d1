"""50-digit arithmetic on NumPy object arrays: what the oracle is written in.

Every float16, float32 and float64 is one such number exactly. Arithmetic rounds at 50 digits, with no limit of range,
so nothing overflows, underflows or cancels that does not do so in exact arithmetic. Matrix products are exact integers
in between, which is both more accurate and ten times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from mpmath.libmp import from_man_exp

Array = Any  # a NumPy array of dtype object, holding MP.mpf

MP: Any = mpmath.MPContext()  # a context of our own: the user's mpmath.mp keeps its precision
MP.dps = 50

ZERO: Any = MP.mpf(0)
ONE: Any = MP.mpf(1)
INF: Any = MP.inf


def exact(values: Any) -> Array:
    """Floats (any shape) as 50-digit numbers, without rounding. Arrays of 50-digit numbers pass through."""
    array = np.asarray(values)
    return array if array.dtype == object else elementwise(MP.mpf, array.astype(np.float64))


def number(value: Any) -> Any:
    """One float as a 50-digit number."""
    return MP.mpf(value)


def elementwise(function: Callable[..., Any], *arrays: Any) -> Array:
    """function applied element by element, broadcasting; always an object array, 0-d and empty ones included."""
    with np.errstate(all="ignore"):  # NaN and inf are numbers like others here
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
    return elementwise(MP.sqrt, a)


def exp(a: Any) -> Array:
    return elementwise(MP.exp, a)


def log1p(a: Any) -> Array:
    return elementwise(MP.log1p, a)


def matmul(a: Array, b: Array) -> Array:
    """a (n, k) times b (k, m), summed exactly and rounded once, at 50 digits."""
    (left, p), (right, q) = _integers(a), _integers(b)
    product = left @ right if a.shape[1] else np.zeros((a.shape[0], b.shape[1]), dtype=object)
    return elementwise(lambda integer: MP.make_mpf(from_man_exp(integer, p + q, MP.prec, "n")), product)


def _integers(a: Array) -> tuple[Array, int]:
    """Integers and one exponent of two that together are exactly the finite numbers of a."""
    parts = [number._mpf_ for number in a.flat]
    lowest = min((exponent for _, mantissa, exponent, _ in parts if mantissa), default=0)
    integers = np.empty(a.size, dtype=object)
    for i, (sign, mantissa, exponent, _) in enumerate(parts):
        shifted = int(mantissa) << (exponent - lowest) if mantissa else 0
        integers[i] = -shifted if sign else shifted
    return integers.reshape(a.shape), lowest


def rounded(a: Array) -> np.ndarray[Any, Any]:
    """The nearest float64s; beyond their range +-inf."""
    return np.array([float(value) for value in a.flat], dtype=np.float64).reshape(a.shape)
