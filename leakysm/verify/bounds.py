"""Error bounds: |computed - exact| <= k * eps * scale + n * smallest_normal, element by element.

There is no other tolerance. eps and smallest_normal are those of the compute dtype; scale is the sum of the absolute
values of the terms that a result adds up, with the condition of the steps before; n is the number of those terms; k
counts roundings. The oracle gives value, scale and n, `leakysm.verify.table` gives k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from leakysm.verify.precise import MP, exact, rounded

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Precision:
    """A dtype and the dtype in which its operations are computed: float16 is computed in float32, rounded once."""

    dtype: str

    @property
    def compute(self) -> np.finfo[Any]:
        return np.finfo("float32" if self.dtype == "float16" else self.dtype)

    @property
    def result(self) -> np.finfo[Any]:
        return np.finfo(self.dtype)

    @property
    def eps(self) -> float:
        return float(self.compute.eps)

    @property
    def smallest_normal(self) -> float:
        return float(self.compute.smallest_normal)

    @property
    def largest(self) -> float:
        return float(self.compute.max)


@dataclass(frozen=True)
class Bound:
    """k of one output as a formula over the sizes of the case, and in words what scale is.

    `k` is written in + - * /, numbers, the case's sizes, sqrt and log2, where log2(n) is the depth of a tree sum,
    ceil(log2(max(n, 1))). `basis` says whether it was derived or measured with a margin.
    """

    k: str
    scale: str
    basis: Literal["derived", "measured"] = "derived"

    def factor(self, sizes: Mapping[str, int]) -> float:
        """k for a case of these sizes."""
        return float(eval(self.k, {"__builtins__": {}, "sqrt": math.sqrt, "log2": tree_depth}, dict(sizes)))


def tree_depth(n: int) -> int:
    """ceil(log2 n), and 0 for n < 2: how many additions stand above one another when n terms are summed pairwise."""
    return max(n - 1, 0).bit_length()


@dataclass(frozen=True)
class Exact:
    """The truth about one output: value and scale (object arrays of 50-digit numbers), and the number of terms n.

    reach: the largest intermediate on which an element rests (default: its scale). Where that is beyond the compute
    dtype, a value may be infinite and a gradient is not promised.
    """

    value: Any
    scale: Any
    terms: int
    reach: Any = None

    @classmethod
    def of_floats(cls, value: Floats, scale: Floats, terms: int, reach: Floats | None = None) -> Exact:
        """The truth as it is stored: rounded to float64."""
        truth = cls(value, scale, terms, reach)
        reached = scale if reach is None else np.maximum(reach, scale)
        vars(truth).update(high=value, low=np.zeros_like(value), scale64=scale, reach64=reached)
        return truth

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @cached_property
    def high(self) -> Floats:
        """The value rounded to float64."""
        return rounded(self.value)

    @cached_property
    def low(self) -> Floats:
        """What rounding took away, so that high + low is good for more than any float64 is compared with."""
        known = np.isfinite(self.high)
        return rounded(np.where(known, self.value - exact(np.where(known, self.high, 0.0)), MP.zero))

    @cached_property
    def scale64(self) -> Floats:
        return rounded(self.scale)

    @cached_property
    def reach64(self) -> Floats:
        return self.scale64 if self.reach is None else np.maximum(rounded(self.reach), self.scale64)


def tolerance(truth: Exact, k: float, precision: Precision) -> Floats:
    """The bound of every element; for float16 also the one rounding of the result."""
    with np.errstate(over="ignore", invalid="ignore"):
        bound = k * (precision.eps * truth.scale64) + truth.terms * precision.smallest_normal
        if precision.dtype == "float16":
            largest = np.minimum(np.abs(truth.high) + bound, float(precision.result.max))
            bound = bound + np.spacing(largest.astype(np.float16)).astype(np.float64) / 2
    return bound


def errors(computed: Any, truth: Exact, k: float, precision: Precision, *, gradient: bool = False) -> Floats:
    """|computed - exact| / bound of every element: at most 1 where the bound holds, inf for a wrong NaN or infinity.

    computed: array of truth.shape, of the precision's dtype. Not judged (0): gradients that rest on an overflow.
    """
    found = np.asarray(computed, dtype=np.float64)
    bound = tolerance(truth, k, precision)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ratio = np.abs((found - truth.high) - truth.low) / bound
        beyond = np.abs(truth.high) + bound > float(precision.result.max)
    ratio = np.where(np.isnan(ratio) | np.isnan(found), np.inf, ratio)
    overflowed = truth.reach64 > precision.largest
    same_infinity = np.isinf(found) & (np.sign(found) == np.sign(truth.high))
    ratio = np.where(same_infinity & (beyond | overflowed), 0.0, ratio)
    if gradient:
        ratio = np.where(overflowed, 0.0, ratio)
    ratio = np.where(np.isinf(truth.high) & (found == truth.high), 0.0, ratio)
    return np.asarray(np.where(np.isnan(truth.high), np.where(np.isnan(found), 0.0, np.inf), ratio))


def roundings(computed: Any, truth: Exact, precision: Precision) -> Floats:
    """|computed - exact| in units of eps * scale, eps of the result's dtype; 0 where that is infinite or underflows."""
    found = np.asarray(computed, dtype=np.float64)
    with np.errstate(all="ignore"):
        unit = float(precision.result.eps) * truth.scale64
        ratio = np.abs((found - truth.high) - truth.low) / unit
    usual = np.isfinite(ratio) & (unit > precision.smallest_normal)
    return np.asarray(np.where(usual, ratio, 0.0))
