"""Restricted squared Euclidean distances r(d) in 50-digit arithmetic: leak, log and root.

    leak: d for d <= t, t + s (d - t) beyond      r' = 1 for d <= t, s beyond
    log:  s log(1 + d / s)                        r' = s / (s + d)
    root: d for d <= t, 2 sqrt(t d) - t beyond    r' = 1 for d <= t, sqrt(t / d) beyond

r applies to the distance of a pair, or to each coordinate's square before the sum.

Scales. Log is concave with r(0) = 0. So the relative error of r(d) is at most that of d, and its scale is r(d). Root
adds 2 sqrt(t d) and -t beyond the threshold, so its scale is 2 sqrt(t d) + t there, and d below. The relative change of
r' is at most that of d: d |r''| / r' is d / (s + d) for log, and 1/2 for root beyond t. Where c moves by e,
2 r' (x - c) changes by 2 r' e and by 2 (x - c) r'' times the change of d.

Underflow. What d loses changes r' by at most |r''| times as much, and |r''| <= 1 / s for log, 1 / (2 t) for root.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.verify.oracle import distances
from leakysm.verify.oracle.distances import (
    Jacobian,
    LeakySquaredEuclidean,
    RestrictedSquaredEuclidean,
    SquaredEuclidean,
)
from leakysm.verify.precise import (
    ONE,
    TWO,
    Array,
    Magnitude,
    atan,
    log1p,
    magnitude,
    number,
    rounded,
    sqrt,
    total,
    where,
)


class Curved(RestrictedSquaredEuclidean):
    """r(d) of a smooth restriction. A subclass works out `parts(d)`: r(d), its scale, r'(d) and |r''(d)|, elementwise.

    width: a distance, not always a parameter: |r''| is at most 1 / width everywhere.
    """

    bend: Array

    def __init__(self, x: Any, c: Any, *, width: float, per: str):
        super().__init__(x, c, per=per)
        self.width = number(width)
        value, scale, derivative, self.bend = self.parts(self.argument)
        self.twice = TWO * derivative
        self._set(value, magnitude(scale))

    def parts(self, d: Array) -> tuple[Array, Array, Array, Array]:
        raise NotImplementedError

    def jacobian(self) -> Jacobian:
        """r' and dy may be multiplied first, and then by 2 (x - c)."""
        lost = self.terms if self.per == "pair" else 1
        last = 1 + 2 * rounded(self.gaps)
        return Jacobian(self.derivatives(), self.steepness, 3 + last * (1 + lost / float(self.width)), last)

    def jacobian_condition(self, spread: Magnitude) -> Magnitude:
        size = 2 * self.gaps
        moved = size * spread[None]
        bent = magnitude(self.bend) * (total(moved, -1) if self.per == "pair" else moved)
        return super().jacobian_condition(spread) + size * (bent[..., None] if self.per == "pair" else bent)


class Log(Curved):
    """r(d) = s log(1 + d / s)."""

    def __init__(self, x: Any, c: Any, *, scale: float, per: str):
        super().__init__(x, c, width=scale, per=per)

    def parts(self, d: Array) -> tuple[Array, Array, Array, Array]:
        value, derivative = self.width * log1p(d / self.width), self.width / (self.width + d)
        return value, value, derivative, derivative / (self.width + d)


class Root(Curved):
    """r(d) = d for d <= t, 2 sqrt(t d) - t beyond."""

    def __init__(self, x: Any, c: Any, *, threshold: float, per: str):
        super().__init__(x, c, width=threshold, per=per)

    def parts(self, d: Array) -> tuple[Array, Array, Array, Array]:
        t = self.width
        if np.isinf(float(t)):
            return d, d, ONE + 0 * d, 0 * d
        within = np.asarray(d <= t, dtype=bool)
        beyond = where(within, t, d)
        root = sqrt(t * beyond)
        derivative = where(within, ONE, root / beyond)
        # r'' is 0 up to t. But a distance there may be taken for one beyond, so this takes r'' just beyond t.
        return where(within, d, 2 * root - t), where(within, d, 2 * root + t), derivative, derivative / (2 * beyond)


class Arctan(Curved):
    """r(d) = s atan(d / s), of `cases.own_class`. d |r''| / r' is at most 2, and |r''| at most 0.65 / s."""

    def __init__(self, x: Any, c: Any, *, scale: float, per: str):
        super().__init__(x, c, width=scale, per=per)

    def parts(self, d: Array) -> tuple[Array, Array, Array, Array]:
        part = d / self.width
        value, derivative = self.width * atan(part), ONE / (ONE + part * part)
        return value, value, derivative, 2 * part * derivative * derivative / self.width


RESTRICTIONS: dict[str, Any] = {"Leak": LeakySquaredEuclidean, "Log": Log, "Root": Root, "Arctan": Arctan}


def restricted(x: Any, c: Any, *, restriction: Any, per: str = "pair") -> Any:
    """The metric's object, by the name of the restriction's class."""
    return RESTRICTIONS[type(restriction).__name__](x, c, **restriction.parameters, per=per)


class Halved(SquaredEuclidean):
    """Half the squared Euclidean distance, of `cases.own_class`."""

    @property
    def value(self) -> Array:
        return self.distance / 2

    @property
    def scale(self) -> Magnitude:
        return magnitude(self.distance) / 2

    def factor(self) -> Any:
        return ONE


METRICS: dict[str, Any] = {**distances.METRICS, "restricted_squared_euclidean": restricted, "Halved": Halved}
