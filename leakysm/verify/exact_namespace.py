"""The array API's elementwise functions on arrays of 50-digit numbers, so that somebody's formula is computed in them.

A formula r(xp, d) that uses functions of `xp` alone takes `ExactNamespace()` as any other array library.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gmpy2
import numpy as np

from leakysm.verify.precise import BITS, INF, NAN, ONE, ZERO, Array, elementwise, exact

_NUMBERS: dict[str, Callable[..., Any]] = {
    name: getattr(gmpy2, name)
    for name in (
        *(
            "exp",
            "expm1",
            "log",
            "log1p",
            "log2",
            "log10",
            "sqrt",
            "square",
            "hypot",
            "atan2",
            "floor",
            "ceil",
            "trunc",
        ),
        *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    )
}
_NUMBERS |= {"abs": abs, "sign": lambda a: gmpy2.mpfr(gmpy2.sign(a)), "pow": operator.pow}
_NUMBERS |= {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv}
_NUMBERS |= {"negative": operator.neg, "positive": operator.pos, "reciprocal": lambda a: 1 / a}
_NUMBERS |= {"minimum": min, "maximum": max}
_TESTS: dict[str, Callable[..., Any]] = {
    "isnan": gmpy2.is_nan,
    "isinf": gmpy2.is_infinite,
    "isfinite": gmpy2.is_finite,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}
_LOGIC = ("logical_and", "logical_or", "logical_not", "logical_xor", "any", "all")


class ExactNamespace:
    """Use it inside `precise.arithmetic()`. AttributeError for a function that has no 50-digit form."""

    inf, nan, pi = INF, NAN, gmpy2.const_pi(BITS)
    bool, float32, float64 = np.dtype("bool"), np.dtype("float32"), np.dtype("float64")
    e = property(lambda self: gmpy2.exp(1))

    def __getattr__(self, name: str) -> Any:
        if name in _LOGIC:
            return getattr(np, name)
        if name in _NUMBERS:
            return lambda *arrays: elementwise(_NUMBERS[name], *map(exact, arrays))
        if name in _TESTS:
            return lambda *arrays: np.asarray(elementwise(_TESTS[name], *map(exact, arrays)), dtype=np.bool_)
        raise AttributeError(f"{name} is no elementwise function of the array API with a 50-digit form")

    def asarray(self, values: Any, dtype: Any = None) -> Array:
        return exact(values)

    def astype(self, array: Any, dtype: Any) -> Array:
        return np.asarray(array, dtype) if dtype == self.bool else exact(array)

    def where(self, condition: Any, a: Any, b: Any) -> Array:
        return np.where(np.asarray(condition, dtype=np.bool_), exact(a), exact(b))

    def clip(self, array: Any, min: Any = None, max: Any = None) -> Array:
        low = array if min is None else self.maximum(array, min)
        return low if max is None else self.minimum(low, max)

    def full_like(self, array: Any, value: Any) -> Array:
        return exact(np.full(np.shape(array), float(value)))

    def ones_like(self, array: Any) -> Array:
        return np.full(np.shape(array), ONE, dtype=object)

    def zeros_like(self, array: Any) -> Array:
        return np.full(np.shape(array), ZERO, dtype=object)

    def finfo(self, dtype: Any) -> SimpleNamespace:
        """Numbers without overflow and underflow, of BITS bits."""
        return SimpleNamespace(
            bits=BITS, eps=2.0 ** (1 - BITS), max=np.inf, min=-np.inf, smallest_normal=0.0, dtype=object
        )
