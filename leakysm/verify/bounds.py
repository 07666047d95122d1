"""Error bounds: |computed - exact| <= k * eps * scale + under * smallest_normal, element by element.

There is no other tolerance. eps and smallest_normal are those of the compute dtype. scale is the sum of the absolute
values of the terms that a result adds up, with the condition of the steps before. under is what underflow may cost,
in smallest normal numbers: one for every step that can underflow, times what later steps multiply it by. The
oracle gives value, scale and under; `leakysm.verify.table` gives r, the roundings on the way to the result.

k is half of r, since one rounding is at most eps / 2. r depends on the order in which sums are added, and on the data:

- order "ours": the order that this package promises. A sum of n terms is ceil(log2 n) additions deep; a matrix product
  is added in the order of the BLAS, so its length counts.
- order "any": somebody else's, who may add in any order: n - 1 additions.
- worst: holds for any data. usual: for data whose roundings go both ways, 4 sqrt(n) in place of n (probabilistic
  rounding analysis, Higham & Mary 2019, "A new approach to probabilistic rounding error analysis", lambda = 4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from leakysm.verify.precise import precisely, rounded

Floats = np.ndarray[Any, np.dtype[np.float64]]
Order = Literal["ours", "any"]
Sizes = Mapping[str, float | str]

BLOCK = 256  # the longest matrix product by which we add up pixels; blocks of it are added by halving


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
class Severity:
    """Which k holds: the order of sums (ours or any), and whether for any data (worst) or for usual data only."""

    order: Order
    usual: bool

    def sum(self, n: float) -> float:
        """Roundings of a sum of n terms."""
        return float(tree_depth(int(n))) if self.order == "ours" else self._long(n - 1, n)

    def product(self, n: float) -> float:
        """Roundings of a matrix product over n terms: a multiplication and n - 1 additions, in the BLAS's order."""
        return self._long(n, n)

    def blocks(self, n: float) -> float:
        """Roundings of a matrix product over n terms. We add it in blocks of BLOCK, and then the blocks by halving.

        Blocks are added in groups, which may cost up to 5 additions more.
        """
        if self.order == "any" or n <= BLOCK:
            return self.product(n)
        return self.product(BLOCK) + tree_depth(math.ceil(n / BLOCK)) + 5

    def other(self, roundings: float) -> float:
        """Further roundings that another formula for the same thing may have: 0 for ours."""
        return roundings if self.order == "any" else 0.0

    def _long(self, roundings: float, n: float) -> float:
        return max(min(roundings, 4 * math.sqrt(max(n, 0))) if self.usual else roundings, 0.0)


@dataclass(frozen=True)
class Bound:
    """The number of roundings r of one output, k = r / 2, and in words what scale is and how r is counted.

    `roundings` is written in + - * / max, numbers, the sizes of the case, `sum(n)`, `product(n)`, `blocks(n)` and
    `other(n)`, which `Severity` defines, and `log2(n)`, the depth of a tree of n sums.
    """

    roundings: str
    scale: str
    why: str = ""

    def factor(self, sizes: Sizes, severity: Severity) -> float:
        """k for a case of these sizes. A size that is text is a formula itself, of the sizes before it."""
        return _evaluated(self.roundings, severity, tuple(sizes.items())) / 2


@lru_cache(maxsize=100_000)
def _evaluated(formula: str, severity: Severity, sizes: tuple[tuple[str, float | str], ...]) -> float:
    names: dict[str, Any] = {"__builtins__": {}, "max": max, "log2": tree_depth}
    names |= {name: getattr(severity, name) for name in ("sum", "product", "blocks", "other")}
    for at, (name, size) in enumerate(sizes):
        names[name] = _evaluated(size, severity, sizes[:at]) if isinstance(size, str) else size
    return float(eval(formula, names))


def tree_depth(n: float) -> int:
    """ceil(log2 n), and 0 for n < 2: how many additions stand above one another when n terms are summed pairwise."""
    return max(int(n) - 1, 0).bit_length()


@dataclass(frozen=True, eq=False)
class Exact:
    """The truth about one output, all arrays of one shape: high + low is the exact value, good for 100 bits.

    value: the same in 50 digits, or high where that is exact, or where the truth was read from a file.
    scale: what k * eps is multiplied by. under: what underflow may cost, in smallest normal numbers. reach: the largest
    intermediate that an element needs; where that is beyond the compute dtype, a value may be infinite and a
    gradient is not promised. zero: where every term is 0. If only a sample of a result is looked at, index: where its
    elements stand in the result; whole: the result's shape; both None for all of it. slack: implementations other than
    ours may err by eps times this more. more: a further allowed error; `for_others` sets it from slack.
    """

    value: Any
    high: Floats
    low: Floats
    scale: Floats
    under: Floats
    reach: Floats
    zero: np.ndarray[Any, np.dtype[np.bool_]]
    index: Any = None
    whole: tuple[int, ...] | None = None
    slack: Any = None
    more: Any = 0.0

    @classmethod
    @precisely
    def of(cls, value: Any, scale: Any, under: Any = 1.0, reach: Any = None) -> Exact:
        """Make it from 50-digit numbers or floats. under and reach broadcast to the value's shape."""
        value, scale = np.asarray(value), np.asarray(scale)
        high, low = split(value)
        scale64 = rounded(scale)
        reach64 = scale64 if reach is None else np.maximum(_spread(reach, value.shape), scale64)
        zero = (scale64 == 0) & (high == 0)
        if zero.any():  # or underflows in float64
            zero = np.asarray((scale == 0) & (value == 0), dtype=bool)
        return cls(value, high, low, scale64, _spread(under, value.shape), reach64, zero)

    @classmethod
    def of_floats(cls, value: Floats, scale: Floats, under: Any, reach: Floats | None = None) -> Exact:
        """The truth as it is stored: rounded to float64."""
        spread = np.broadcast_to(np.asarray(under, dtype=np.float64), value.shape)
        reached = scale if reach is None else np.maximum(reach, scale)
        return cls(value, value, np.zeros_like(value), scale, spread, reached, (scale == 0) & (value == 0))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole result."""
        return tuple(self.high.shape) if self.whole is None else self.whole

    def for_others(self, precision: Precision) -> Exact:
        """The truth that judges other people's results."""
        return self if self.slack is None else replace(self, more=self.slack * float(precision.eps))

    def pick(self, result: Any) -> Any:
        """The elements of a whole result that are looked at."""
        return result if self.index is None else result[self.index]

    def place(self, at: tuple[int, ...]) -> tuple[int, ...]:
        """Where an element that is looked at stands in the whole result."""
        if self.index is None:
            return at
        axes = [np.ravel(part)[i] for part, i in zip(self.index, at, strict=False)]
        return (*(int(i) for i in axes), *at[len(axes) :])


def split(value: Any) -> tuple[Floats, Floats]:
    """50-digit numbers as the nearest float64s and what rounding took away (0 where that is not finite)."""
    high = rounded(value)
    if value.dtype != object:
        return high, np.zeros_like(high)
    finite = np.where(np.isfinite(high), high, 0.0)
    with np.errstate(all="ignore"):  # 50-digit numbers may exceed float64's range
        return high, np.where(np.isfinite(high), rounded(value - finite.astype(object)), 0.0)


def _spread(values: Any, shape: tuple[int, ...]) -> Floats:
    array = np.asarray(values)
    return np.broadcast_to(rounded(array), shape)


def tolerance(truth: Exact, k: float, precision: Precision) -> Floats:
    """The bound of every element; for float16 also the one rounding of the result."""
    with np.errstate(over="ignore", invalid="ignore"):
        bound = k * (precision.eps * truth.scale) + truth.under * precision.smallest_normal + truth.more
        if precision.dtype == "float16":
            largest = np.minimum(np.abs(truth.high) + bound, float(precision.result.max))
            bound = bound + np.spacing(largest.astype(np.float16)).astype(np.float64) / 2
    return np.asarray(bound, dtype=np.float64)


def errors(computed: Any, truth: Exact, k: float, precision: Precision, *, gradient: bool = False) -> Floats:
    """|computed - exact| / bound of every element: at most 1 where the bound holds, inf for a wrong NaN or infinity.

    computed: array of truth.shape, of the precision's dtype. Not judged (0): gradients that rest on an overflow.
    """
    values = np.asarray(truth.pick(computed), dtype=np.float64)
    bound = tolerance(truth, k, precision)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        distance = np.abs((values - truth.high) - truth.low)
        ratio = np.where(distance == 0, 0.0, distance / bound)
        beyond = np.abs(truth.high) + bound > float(precision.result.max)
    ratio = np.where(np.isnan(ratio) | np.isnan(values), np.inf, ratio)
    overflowed = truth.reach > precision.largest
    same_infinity = np.isinf(values) & (np.sign(values) == np.sign(truth.high))
    ratio = np.where(same_infinity & (beyond | overflowed), 0.0, ratio)
    if gradient:
        ratio = np.where(overflowed, 0.0, ratio)
    ratio = np.where(np.isinf(truth.high) & (values == truth.high), 0.0, ratio)
    return np.asarray(np.where(np.isnan(truth.high), np.where(np.isnan(values), 0.0, np.inf), ratio))


def roundings(computed: Any, truth: Exact, precision: Precision) -> Floats:
    """|computed - exact| in units of eps * scale, eps of the result's dtype; 0 where that is infinite or underflows."""
    values = np.asarray(truth.pick(computed), dtype=np.float64)
    with np.errstate(all="ignore"):
        unit = float(precision.result.eps) * truth.scale
        ratio = np.abs((values - truth.high) - truth.low) / unit
    usual = np.isfinite(ratio) & (unit > precision.smallest_normal)
    return np.asarray(np.where(usual, ratio, 0.0))
