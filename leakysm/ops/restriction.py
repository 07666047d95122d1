"""Restrictions of a squared distance: scalar functions r(d) with their derivatives. Write your own formula as a class:

    class Soft(lk.Restriction):
        scale: float = 1.0

        def value(self, xp, d):
            return self.scale * xp.log1p(d / self.scale)

        def derivative(self, xp, d):
            return 1 / (1 + d / self.scale)

A subclass becomes a frozen dataclass: its annotated fields are the parameters.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar, dataclass_transform

from leakysm.errors import UserError, suggestion
from leakysm.ops.arrays import Array, number
from leakysm.ops.own_code import Form, guard

_SPAN = re.compile(r"(\S+) (<=?) (\w+) (<=?) (\S+)")
Compare = Callable[[float, float], bool]
_COMPARED: dict[str, Compare] = {"<": operator.lt, "<=": operator.le}


def within_range(name: str, given: Any, span: str) -> float:
    """`given` as a float. UserError unless it lies in `span`, e.g. "0 < slope <= 1"."""
    low, at_least, at_most, high = _ends(span)
    value = number(name, given, span)
    if not (at_least(low, value) and at_most(value, high)):
        raise UserError(f"{name} is {given!r}; {span} is expected: choose a value in this range")
    return value


@lru_cache(maxsize=64)
def _ends(span: str) -> tuple[float, Compare, Compare, float]:
    """The lower end of a span, how a value compares with it and with the upper end, and the upper end."""
    match = _SPAN.fullmatch(span)
    assert match, span
    low, at_least, _, at_most, high = match.groups()
    return float(low), _COMPARED[at_least], _COMPARED[at_most], float(high)


def _like(d: Array) -> tuple[Form, ...]:
    return (Form("result", tuple(d.shape), d),)


def _require_span(name: str, span: Any) -> None:
    """UserError unless `span` is a text that `within_range` reads, about this parameter."""
    match = _SPAN.fullmatch(span) if isinstance(span, str) else None
    try:
        understood = match is not None and match[3] == name and float(match[1]) <= float(match[5])
    except ValueError:  # an end is no number
        understood = False
    if not understood:
        raise UserError(f"ranges has {span!r} for {name}; write it like '0 < {name} < inf'")


@dataclass_transform(frozen_default=True)
class Restriction:
    """A scalar function r of a squared distance d >= 0, with its derivative and its parameters.

    A subclass gives `value(xp, d)` and `derivative(xp, d)`, elementwise on an array d of the array library xp, and its
    parameters as annotated fields. `ranges` states the ranges of parameters, e.g. {"scale": "0 < scale < inf"}; a value
    outside, or NaN, raises UserError (a ValueError). `kinks` are the distances where r' jumps; there `derivative` gives
    the left one. Use only functions of the array API standard, so that all array libraries and their autodiff work.

    Examples
    --------
    >>> restriction = lk.Root(threshold=4)
    >>> restriction.value(np, np.array([1.0, 25.0]))
    array([ 1., 16.])
    >>> restriction.derivative(np, np.array([1.0, 25.0]))
    array([1. , 0.4])
    """

    ranges: ClassVar[dict[str, str]] = {}
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # every subclass is made a dataclass

    def __init_subclass__(cls) -> None:
        if "__annotations__" in cls.__dict__ or "__dataclass_fields__" not in cls.__dict__:
            dataclass(frozen=True)(cls)
        names = [field.name for field in fields(cls)]
        for name, span in cls.ranges.items():
            if name not in names:
                has = suggestion(name, names) if names else "it has no parameter: leave it out"
                raise UserError(f"{cls.__name__}: ranges has {name}, but there is no such parameter; {has}")
            _require_span(name, span)
        guard(cls, {"value": _like, "derivative": _like, "chain": lambda d, dd: _like(dd)})

    def __post_init__(self) -> None:
        for name, span in self.ranges.items():
            object.__setattr__(self, name, within_range(name, getattr(self, name), span))

    def value(self, xp: Any, d: Array) -> Array:
        """r(d), elementwise."""
        raise UserError(f"{type(self).__name__} has no value(xp, d); define it")

    def derivative(self, xp: Any, d: Array) -> Array:
        """r'(d), elementwise; at a kink the left one."""
        raise UserError(f"{type(self).__name__} has no derivative(xp, d); define it")

    def chain(self, xp: Any, d: Array, dd: Array) -> Array:
        """r'(d) dd, elementwise."""
        return self.derivative(xp, d) * dd

    @property
    def kinks(self) -> tuple[float, ...]:
        """The distances where the derivative jumps."""
        return ()

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __str__(self) -> str:
        return " ".join([type(self).__name__, *(f"{name}={value}" for name, value in self.parameters.items())])


class Leak(Restriction):
    """r(d) = d for d <= t, t + s (d - t) beyond; r'(d) = 1 for d <= t (the left derivative at the kink), s beyond.

    threshold t in [0, inf], slope s in (0, 1]; outside, or NaN: UserError (a ValueError).
    Source: our definition for Shen & Liu, arXiv:1811.10779; the abstract prints none.

    Examples
    --------
    >>> lk.Leak(threshold=1, slope=0.5).value(np, np.array([0.5, 25.0]))
    array([ 0.5, 13. ])
    """

    ranges = {"threshold": "0 <= threshold <= inf", "slope": "0 < slope <= 1"}  # noqa: RUF012 (a ClassVar above)
    threshold: float
    slope: float

    def value(self, xp: Any, d: Array) -> Array:
        """r(d), elementwise."""
        t = self.threshold
        # Bit for bit the identity for s = 1, and for a threshold that no finite distance of the dtype can pass.
        if self.slope == 1 or math.isinf(t) or t > xp.finfo(d.dtype).max:
            return d
        return xp.where(d <= t, d, t + self._times_slope(xp, d - t))

    def derivative(self, xp: Any, d: Array) -> Array:
        """r'(d), elementwise: 1 or the slope."""
        return self.chain(xp, d, xp.ones_like(d))

    def chain(self, xp: Any, d: Array, dd: Array) -> Array:
        """r'(d) dd, elementwise: dd, or dd times the slope."""
        return xp.where(self.within(d), dd, self._times_slope(xp, dd))

    def within(self, d: Array) -> Array:
        """The choice that is made at the kink: d <= t."""
        return d <= self.threshold

    @property
    def kinks(self) -> tuple[float, ...]:
        """The threshold, unless the slope is 1."""
        return () if self.slope == 1 or math.isinf(self.threshold) else (self.threshold,)

    def _times_slope(self, xp: Any, v: Array) -> Array:
        if self.slope >= xp.finfo(v.dtype).smallest_normal:
            return self.slope * v
        power = 2.0**126 if v.dtype == xp.float32 else 2.0**1022  # a subnormal slope would lose its digits
        return (v / power) * (self.slope * power)


class Log(Restriction):
    """r(d) = s log(1 + d / s); r'(d) = 1 / (1 + d / s) = s / (s + d). A control; not from the paper.

    scale s in (0, inf); outside, or NaN: UserError (a ValueError). r(d) is d for small d, and grows like log d far
    beyond the scale. The derivative by the chain rule: s * (1 / s) / (1 + d / s).

    Examples
    --------
    >>> np.round(lk.Log(scale=1).value(np, np.array([0.0, 1.0])), 4)
    array([0.    , 0.6931])
    """

    ranges = {"scale": "0 < scale < inf"}  # noqa: RUF012
    scale: float = 1.0

    def value(self, xp: Any, d: Array) -> Array:
        """r(d), elementwise: d itself below eps s, where r(d) = d - d^2 / 2 s + ... rounds to it."""
        s, eps, largest = self.scale, float(xp.finfo(d.dtype).eps), float(xp.finfo(d.dtype).max)
        if s > largest:
            return d
        near, far = d <= eps * s, d > min(largest * s, largest)  # d / s underflows; overflows
        one = xp.ones_like(d)
        ordinary = s * xp.log1p(xp.where(near | far, one, d) / s)
        if s >= 1:
            return xp.where(near | xp.isinf(d), d, ordinary)
        beyond = s * (xp.log(xp.where(far, d, one)) - math.log(s))
        return xp.where(near, d, xp.where(far, beyond, ordinary))

    def derivative(self, xp: Any, d: Array) -> Array:
        """r'(d), elementwise, of the two forms the one whose quotient does not overflow."""
        s, near = self.scale, d <= self.scale
        one = xp.ones_like(d)
        ratio = s / xp.where(near, one, d)
        within = 1 / (1 + xp.where(near & (d > 0), d, one) / s)
        return xp.where(d == 0, one, xp.where(near, within, ratio / (1 + ratio)))


class Root(Restriction):
    """r(d) = d for d <= t, 2 sqrt(t d) - t beyond; r'(d) = 1 for d <= t, sqrt(t / d) beyond. A control.

    threshold t in (0, inf]; outside, or NaN: UserError (a ValueError). Not from the paper. Huber's function (1964) of
    the unsquared distance: quadratic up to sqrt(t), linear beyond. At d = t both branches have the value t and the
    slope 1, so there is no kink.

    Examples
    --------
    >>> lk.Root(threshold=4).value(np, np.array([1.0, 25.0]))
    array([ 1., 16.])
    """

    ranges = {"threshold": "0 < threshold <= inf"}  # noqa: RUF012
    threshold: float = 1.0

    def value(self, xp: Any, d: Array) -> Array:
        """r(d), elementwise."""
        t = self.threshold
        if math.isinf(t) or t > xp.finfo(d.dtype).max:
            return d
        within = d <= t
        root = math.sqrt(t) * xp.sqrt(xp.where(within, t * xp.ones_like(d), d))
        return xp.where(within, d, root + (root - t))  # 2 root may overflow

    def derivative(self, xp: Any, d: Array) -> Array:
        """r'(d), elementwise."""
        t = self.threshold
        if math.isinf(t) or t > xp.finfo(d.dtype).max:
            return xp.ones_like(d)
        within = d <= t
        return xp.where(within, xp.ones_like(d), math.sqrt(t) / xp.sqrt(xp.where(within, t * xp.ones_like(d), d)))


RESTRICTIONS: dict[str, type[Restriction]] = {"leak": Leak, "log": Log, "root": Root}
