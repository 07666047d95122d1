"""The restriction of a squared distance: a scalar function with its derivative. Another formula is one more class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from leakysm.errors import UserError
from leakysm.ops.arrays import Array, number


@dataclass(frozen=True)
class Leak:
    """r(d) = d for d <= t, t + s (d - t) beyond; r'(d) = 1 for d <= t (the left derivative at the kink), s beyond.

    threshold t in [0, inf], slope s in (0, 1]; outside, or NaN: UserError (a ValueError).
    Source: our definition for Shen & Liu, arXiv:1811.10779; the abstract prints none.
    """

    threshold: float
    slope: float

    def __post_init__(self) -> None:
        for name, span in (("threshold", "0 <= threshold <= inf"), ("slope", "0 < slope <= 1")):
            given = getattr(self, name)
            value = number(name, given, span)
            if not (value >= 0 if name == "threshold" else 0 < value <= 1):
                raise UserError(f"{name} is {given!r}; {span} is expected: choose a value in this range")
            object.__setattr__(self, name, value)

    def value(self, xp: Any, d: Array) -> Array:
        """r(d), elementwise."""
        t = self.threshold
        # Bit for bit the identity for s = 1, and for a threshold that no finite distance of the dtype can pass.
        if self.slope == 1 or math.isinf(t) or t > xp.finfo(d.dtype).max:
            return d
        return xp.where(d <= t, d, t + self._times_slope(xp, d - t))

    def chain(self, xp: Any, d: Array, dd: Array) -> Array:
        """r'(d) dd, elementwise: dd, or dd times the slope."""
        return xp.where(self.within(d), dd, self._times_slope(xp, dd))

    def within(self, d: Array) -> Array:
        """The discrete choice that is made at the kink: d <= t."""
        return d <= self.threshold

    def _times_slope(self, xp: Any, v: Array) -> Array:
        if self.slope >= xp.finfo(v.dtype).smallest_normal:
            return self.slope * v
        power = 2.0**126 if v.dtype == xp.float32 else 2.0**1022  # a subnormal slope would lose its digits
        return (v / power) * (self.slope * power)
