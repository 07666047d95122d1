"""Distances and their gradients in 50-digit arithmetic, with the scale of their rounding errors.

Each metric is a class over one pair of point sets x (N, D), c (M, D): `value` and `scale` (N, M), `jacobian()`, and
what a perturbation of c does to them, which the prototypical loss needs, since its prototypes are rounded.
Formulas: docs/mathematics/operations.md; Shen & Liu, arXiv:1811.10779, for the idea of the restriction.

Underflow: `under` (N, M) is what a distance may lose, in smallest normal numbers. A gradient adds up terms dy J. Its
factors may be multiplied in any order, so each product may lose up to 3. What J itself loses, `jacobian().under`, is
multiplied by dy.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact, Floats
from leakysm.verify.oracle.choices import Doubt, OpenGradient, spanned
from leakysm.verify.precise import (
    ONE,
    TWO,
    ZERO,
    Array,
    Magnitude,
    exact,
    largest,
    magnitude,
    number,
    only,
    rounded,
    sqrt,
    total,
    where,
)


@dataclass(frozen=True)
class Jacobian:
    """dd_ij/dx_ik (N, M, D). dd_ij/dc_jk is `other()`, and by default the negative.

    scale: (N, M, D), |derivative| for most metrics. under: smallest normal numbers that J itself may lose; last: what
    the product dy J is multiplied by at last. Both are numbers or magnitudes, and broadcast against (N, M, D).
    """

    derivative: Array
    scale: Magnitude
    under: Any = 3
    last: Any = 1
    other: Callable[[], Jacobian] | None = None

    def sides(self, weight: Array, size: Magnitude) -> Iterator[Side]:
        """The terms weight J of dx, then those of dc; their sizes are `size` times the scale."""
        terms, of_terms = weight * self.derivative, size * self.scale
        yield Side(1, False, terms, of_terms, self)
        if self.other is None:
            yield Side(0, True, terms, of_terms, self)
        else:
            other = self.other()
            first = next(other.sides(weight, size))
            yield Side(0, False, first.terms, first.sizes, other)


@dataclass(frozen=True)
class Side:
    """The terms (N, M, D) that a gradient adds up along an axis. negative: they are those of -dc."""

    axis: int
    negative: bool
    terms: Array
    sizes: Magnitude
    jacobian: Jacobian

    @property
    def sum(self) -> Array:
        gradient = total(self.terms, self.axis)
        return ZERO - gradient if self.negative else gradient


class _Pairs:
    """x (N, D) and c (M, D): differences and squares (N, M, D), distances (N, M)."""

    def __init__(self, x: Array, c: Array):
        self.difference = x[:, None, :] - c[None, :, :]
        self.squares = self.difference * self.difference
        self.distance = total(self.squares, -1)


_KNOWN: OrderedDict[Any, _Pairs] = OrderedDict()
_MOST_KNOWN = 8  # restrictions, and parameters rounded to several dtypes, meet the same points one after the other


def _pairs(x: Any, c: Any) -> _Pairs:
    """The pairs of two point sets. Those of the last few sets are kept and returned again."""
    x, c = np.asarray(x), np.asarray(c)
    if x.dtype == object or c.dtype == object:
        return _Pairs(exact(x), exact(c))
    key = x.shape, c.shape, x.tobytes(), c.tobytes()
    if key not in _KNOWN:
        _KNOWN[key] = _Pairs(exact(x), exact(c))
        if len(_KNOWN) > _MOST_KNOWN:
            _KNOWN.popitem(last=False)
    return _KNOWN[key]


class SquaredEuclidean:
    """d = sum_k (x_k - c_k)^2. The scale is d itself: differences first, so nothing cancels."""

    def __init__(self, x: Any, c: Any):
        pairs = _pairs(x, c)
        self.difference, self.squares, self.distance = pairs.difference, pairs.squares, pairs.distance
        self.terms = max(np.shape(x)[1], 1)

    @property
    def value(self) -> Array:
        return self.distance

    @property
    def scale(self) -> Magnitude:
        return magnitude(self.distance)

    @property
    def reach(self) -> Magnitude:
        return magnitude(self.distance)

    @property
    def under(self) -> float:
        """A square may underflow for each coordinate."""
        return float(self.terms)

    def factor(self) -> Any:
        """dd_ij/dx_ik divided by x_ik - c_jk, broadcast against (N, M, D)."""
        return TWO

    def jacobian(self) -> Jacobian:
        return Jacobian(self.derivatives(), self.steepness)

    def derivatives(self) -> Array:
        """dd_ij/dx_ik (N, M, D)."""
        return self.factor() * self.difference

    @cached_property
    def gaps(self) -> Magnitude:
        """|x_ik - c_jk| (N, M, D). Not of the pairs that are kept: a published case needs all digits, others do not."""
        return magnitude(self.difference)

    @cached_property
    def steepness(self) -> Magnitude:
        """|dd_ij/dx_ik| (N, M, D)."""
        return magnitude(self.factor()) * self.gaps

    def value_condition(self, spread: Magnitude) -> Magnitude:
        """Scale of the value's change when c changes by up to eps * spread (M, D)."""
        return total(self.steepness * spread[None], -1)

    def jacobian_condition(self, spread: Magnitude) -> Magnitude:
        """Scale of the Jacobian's change when c changes by up to eps * spread; broadcasts against (N, M, D)."""
        return only(spread[None] != 0, magnitude(self.factor()) * spread[None])

    def open_jacobian(self, doubt: Doubt, spread: Magnitude | None = None) -> Array | None:
        """The change of dd_ij/dx_ik (N, M, D) by the other option of every open choice; None if none is open."""
        return None


class RestrictedSquaredEuclidean(SquaredEuclidean):
    """r(d) of the distance of a pair, or the sum of r over the squares of coordinates.

    A subclass sets `restricted` and `restricted_scale` by `_set`, and `twice` to 2 r'(argument), elementwise.
    """

    twice: Array

    def __init__(self, x: Any, c: Any, *, per: str):
        super().__init__(x, c)
        self.per = per
        self.argument = self.distance if per == "pair" else self.squares

    def _set(self, value: Array, scale: Magnitude) -> None:
        self.restricted = value if self.per == "pair" else total(value, -1)
        self.restricted_scale = scale if self.per == "pair" else total(scale, -1)

    @property
    def value(self) -> Array:
        return self.restricted

    @property
    def scale(self) -> Magnitude:
        return self.restricted_scale

    @property
    def under(self) -> float:
        """A square for each coordinate, and two steps of r: once, or for each coordinate."""
        return float(self.terms + 2 if self.per == "pair" else 3 * self.terms)

    def factor(self) -> Array:
        return self.twice[..., None] if self.per == "pair" else self.twice


class LeakySquaredEuclidean(RestrictedSquaredEuclidean):
    """g(d) with g(d) = d if d <= t, else t + s (d - t): of the distance, or of each square before the sum.

    The terms of the leaky branch are t, s d and s t; a distance below the threshold is its own scale.
    The derivative takes the left branch at the kink.
    """

    def __init__(self, x: Any, c: Any, *, threshold: float, slope: float, per: str = "pair"):
        super().__init__(x, c, per=per)
        self.t, self.s = number(threshold), number(slope)
        self.within = np.asarray(self.argument <= self.t, dtype=bool)
        restricted, terms, beyond = self.argument.copy(), magnitude(self.argument), ~self.within
        leaked = self.s * self.argument[beyond]
        restricted[beyond], terms[beyond] = leaked + self.t * (1 - self.s), leaked + self.t * (1 + self.s)
        self._set(restricted, terms)
        self.twice = where(self.within, TWO, TWO * self.s)

    @property
    def reach(self) -> Magnitude:
        unrestricted = self.distance if self.per == "pair" else largest(self.squares, -1)
        return np.maximum(unrestricted, self.restricted_scale)

    def open_jacobian(self, doubt: Doubt, spread: Magnitude | None = None) -> Array | None:
        scale = magnitude(self.argument)
        under = float(self.terms) if self.per == "pair" else 1.0
        if spread is not None:
            moved = 2 * self.gaps * spread[None]
            scale = scale + (total(moved, -1) if self.per == "pair" else moved)
        near = np.asarray(abs(self.argument - self.t) <= doubt.of(scale, under), dtype=bool)
        if self.s == 1 or not near.any():
            return None
        change = where(self.within, self.s - ONE, ONE - self.s) * where(near, ONE, ZERO)
        return 2 * (change[..., None] if self.per == "pair" else change) * self.difference


class Euclidean(SquaredEuclidean):
    """r = sqrt(d), derivative (x - c) / r, 0 at coincident points. Scaled before it is squared: underflow costs 1."""

    def __init__(self, x: Any, c: Any):
        super().__init__(x, c)
        self.root = sqrt(self.distance)
        self.divisor = where(self.root == 0, ONE, self.root)[..., None]

    @property
    def value(self) -> Array:
        return self.root

    @property
    def scale(self) -> Magnitude:
        return magnitude(self.root)

    @property
    def reach(self) -> Magnitude:
        return self.scale

    @property
    def under(self) -> float:
        return 2.0

    def jacobian(self) -> Jacobian:
        last = 1 + 1 / magnitude(self.divisor)
        return Jacobian(self.difference / self.divisor, self.steepness, 3 * last, last)

    @cached_property
    def steepness(self) -> Magnitude:
        return self.gaps / magnitude(self.divisor)

    def value_condition(self, spread: Magnitude) -> Magnitude:
        return _lengths(spread)[None, :] + np.zeros(self.root.shape)  # |r(c + e) - r(c)| <= |e|

    def jacobian_condition(self, spread: Magnitude) -> Magnitude:
        return 2 * _lengths(spread)[None, :, None] / magnitude(self.divisor)


class Cosine:
    """1 - x.c / (|x| |c|); with a zero vector 1, gradient 0. d/dx = -(c/|c| - cos x/|x|) / |x|.

    The scale is C + |1 - cos|, C = sum_k |x_k c_k| / (|x| |c|): the products, and the result of the subtraction.
    """

    def __init__(self, x: Any, c: Any):
        self.x_norm, self.x_unit = _norm_and_unit(exact(x))
        self.c_norm, self.c_unit = _norm_and_unit(exact(c))
        products = self.x_unit[:, None, :] * self.c_unit[None, :, :]
        self.cosine, self.cosine_scale = total(products, -1), total(magnitude(products), -1)
        self.terms = max(products.shape[-1], 1)
        zero = (self.x_norm == 0)[:, None] | (self.c_norm == 0)[None, :]
        self.alive = where(np.asarray(zero, dtype=bool), ZERO, ONE)[..., None]  # (N, M, 1)

    @property
    def value(self) -> Array:
        return ONE - self.cosine

    @property
    def scale(self) -> Magnitude:
        return self.cosine_scale + magnitude(ONE - self.cosine)

    @property
    def reach(self) -> Magnitude:
        return self.scale

    @property
    def under(self) -> float:
        """Two unit vectors and their product, for each coordinate."""
        return float(3 * self.terms)

    def _inverses(self) -> tuple[Array, Array]:
        """1 / |x| and 1 / |c|, 0 for a pair with a zero vector, (N, M, 1)."""
        return self.alive / _nonzero(self.x_norm)[:, None, None], self.alive / _nonzero(self.c_norm)[None, :, None]

    def jacobian(self) -> Jacobian:
        x, c = self.x_unit[:, None, :], self.c_unit[None, :, :]
        cosine, scale = self.cosine[..., None], self.cosine_scale[..., None]
        x_inverse, c_inverse = self._inverses()
        inner = 3 * self.terms + 4  # the cosine's, and what its product with a unit vector loses

        def one(x: Array, c: Array, inverse: Array, other: Callable[[], Jacobian] | None) -> Jacobian:
            steep = magnitude(inverse)
            terms = (magnitude(c) + scale * magnitude(x)) * steep
            return Jacobian((cosine * x - c) * inverse, terms, 1 + inner * steep, 1 + steep, other)

        return one(x, c, x_inverse, lambda: one(c, x, c_inverse, None))

    def value_condition(self, spread: Magnitude) -> Magnitude:
        return self._relative(spread) + np.zeros(self.cosine.shape)

    def jacobian_condition(self, spread: Magnitude) -> Magnitude:
        """The change of dx and of dc: unit vectors move by at most 2 |e| / |c|, lengths by |e|."""
        x_inverse, c_inverse = self._inverses()
        return 6 * self._relative(spread)[..., None] * magnitude(x_inverse + c_inverse)

    def _relative(self, spread: Magnitude) -> Magnitude:
        return (2 * _lengths(spread) / magnitude(_nonzero(self.c_norm)))[None, :]

    def open_jacobian(self, doubt: Doubt, spread: Magnitude | None = None) -> Array | None:
        return None


def _lengths(spread: Magnitude) -> Magnitude:
    """The length of each row."""
    return magnitude(sqrt(total(spread * spread, -1)))


def _nonzero(norm: Array) -> Array:
    return where(norm == 0, ONE, norm)


def _norm_and_unit(vectors: Array) -> tuple[Array, Array]:
    norm = sqrt(total(vectors * vectors, -1))
    return norm, vectors / _nonzero(norm)[:, None]


METRICS: dict[str, Any] = {
    "squared_euclidean": SquaredEuclidean,
    "leaky_squared_euclidean": LeakySquaredEuclidean,
    "euclidean": Euclidean,
    "cosine_distance": Cosine,
}


def value(metric: Any) -> tuple[Exact, ...]:
    """The distances (N, M) of a metric object."""
    return (Exact.of(metric.value, metric.scale, metric.under, metric.reach),)


def vjp(metric: Any, dy: Any, only: int | None = None) -> tuple[Exact, ...]:
    """dx_ik = sum_j dy_ij dd_ij/dx_ik and dc_jk = sum_i dy_ij dd_ij/dc_jk; scales: the same sums of absolute values.

    only: 0 for dx alone, 1 for dc alone.
    """
    sides = metric.jacobian().sides(exact(dy)[..., None], magnitude(dy)[..., None])
    size = np.abs(rounded(dy))[..., None]
    wanted = itertools.islice(sides, only or 0, None if only is None else only + 1)
    return tuple(_summed(metric, side, size) for side in wanted)


def _summed(metric: Any, side: Side, size: Floats) -> Exact:
    j, value = side.jacobian, side.sum
    lost = along(3 * j.last + size * j.under, side.axis, value.shape)
    reach = np.broadcast_to(largest(metric.reach, side.axis)[:, None], value.shape)
    return Exact.of(value, total(side.sizes, side.axis), lost, reach)


def along(terms: Any, axis: int, shape: tuple[int, ...]) -> Any:
    """The sum along an axis of numbers or magnitudes, broadcast to the shape of a gradient."""
    return np.broadcast_to(np.add.reduce(terms, axis=axis, initial=0), shape)


def open_gradients(metric: Any, dy: Any, doubt: Doubt) -> tuple[OpenGradient | None, ...]:
    """The values that open choices allow dx and dc; None for a gradient that no open choice changes."""
    change = metric.open_jacobian(doubt)
    if change is None:
        return None, None
    weight = exact(dy)[..., None]
    changes = weight * change
    of_x, of_c = metric.jacobian().sides(weight, magnitude(dy)[..., None])
    return (
        spanned(of_x.sum, total(of_x.sizes, 1), both(np.moveaxis(changes, 1, 0))),
        spanned(of_c.sum, total(of_c.sizes, 0), both(-changes)),
    )


def both(changes: Array) -> list[Array]:
    """(G, ...) changes as groups of two options each, 0 and the change; groups that change nothing are left out."""
    return [np.stack([0 * change, change]) for change in changes if np.any(change != 0)]
