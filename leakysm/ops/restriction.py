"""The restriction of a squared distance: a scalar function with its derivative. Another formula is one more class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from leakysm.errors import UserError
from leakysm.ops.arrays import Array


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
            value = getattr(self, name)
            try:
                number = float(value)
            except (TypeError, ValueError):
                raise UserError(f"{name} is {value!r}; a number with {span} is expected") from None
            if not (number >= 0 if name == "threshold" else 0 < number <= 1):
                raise UserError(f"{name} is {number}; {span} is expected: choose a value in this range")
            object.__setattr__(self, name, number)

    def value(self, xp: Any, d: Array) -> Array:
        """r(d), elementwise."""
        t, s = self.threshold, self.slope
        # Bit for bit the identity for s = 1, and for a threshold that no finite distance of the dtype can pass.
        if s == 1 or math.isinf(t) or t > xp.finfo(d.dtype).max:
            return d
        return xp.where(d <= t, d, t + s * (d - t))

    def derivative(self, xp: Any, d: Array) -> Array:
        """r'(d), elementwise: 1 or the slope."""
        one = xp.ones_like(d)
        return xp.where(self.within(d), one, self.slope * one)

    def within(self, d: Array) -> Array:
        """The discrete choice that is made at the kink: d <= t."""
        return d <= self.threshold
