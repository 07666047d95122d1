"""Distances and their gradients in 50-digit arithmetic, with the scale of their rounding errors.

Each metric is a class over one pair of point sets x (N, D), c (M, D): `value` and `scale` (N, M), `jacobian()`, and
what a perturbation of c does to them, which the prototypical loss needs, since its prototypes are rounded.
Formulas: leakysm's specification of the distances; Shen & Liu, arXiv:1811.10779, for the idea of the restriction.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact
from leakysm.verify.precise import ONE, ZERO, Array, exact, largest, number, sqrt, total, where

MAX_OPEN_CHOICES = 6  # a case may leave open this many discrete choices: 2^6 gradients are compared


@dataclass(frozen=True)
class Jacobian:
    """dd_ij/dx_ik and dd_ij/dc_jk, both (N, M, D), with their scales."""

    dx: Array
    dx_scale: Array
    dc: Array
    dc_scale: Array


class SquaredEuclidean:
    """d = sum_k (x_k - c_k)^2. The scale is d itself: differences first, so nothing cancels."""

    def __init__(self, x: Any, c: Any):
        self.x, self.c = exact(x), exact(c)
        self.difference = self.x[:, None, :] - self.c[None, :, :]  # (N, M, D)
        self.squares = self.difference * self.difference
        self.distance = total(self.squares, -1)  # (N, M)
        self.terms = max(self.x.shape[1], 1)

    @property
    def value(self) -> Array:
        return self.distance

    @property
    def scale(self) -> Array:
        return self.distance

    @property
    def reach(self) -> Array:
        return self.distance

    def factor(self) -> Any:
        """What the restriction multiplies the derivative by, broadcast against (N, M, D)."""
        return ONE

    def jacobian(self) -> Jacobian:
        dx = 2 * self.factor() * self.difference
        return Jacobian(dx, abs(dx), -dx, abs(dx))

    def value_condition(self, spread: Array) -> Array:
        """Scale of the value's change when c changes by up to eps * spread (M, D)."""
        return total(2 * self.factor() * abs(self.difference) * spread[None], -1)

    def jacobian_condition(self, spread: Array) -> Array:
        """Scale of the Jacobian's change, (N, M, D), likewise."""
        return where(spread[None] == 0, ZERO, 2 * self.factor() * spread[None] + 0 * self.difference)


class LeakySquaredEuclidean(SquaredEuclidean):
    """g(d) with g(d) = d if d <= t, else t + s (d - t): of the distance, or of each square before the sum.

    The terms of the leaky branch are t, s d and s t; a distance below the threshold is its own scale.
    `within` (bool; (N, M) or (N, M, D)) is the branch that the derivative takes: the left one at the kink.
    """

    def __init__(self, x: Any, c: Any, *, threshold: float, slope: float, per: str = "pair"):
        super().__init__(x, c)
        self.t, self.s, self.per = number(threshold), number(slope), per
        self.argument = self.distance if per == "pair" else self.squares
        below = np.asarray(self.argument <= self.t, dtype=bool)
        self.within = below
        t = self.t if np.isfinite(threshold) else ZERO  # no element is above an infinite threshold
        restricted = where(below, self.argument, t + self.s * (self.argument - t))
        terms = where(below, self.argument, t + self.s * (self.argument + t))
        self.restricted = restricted if per == "pair" else total(restricted, -1)
        self.restricted_scale = terms if per == "pair" else total(terms, -1)
        self.terms = self.terms + 2 if per == "pair" else 3 * self.terms

    @property
    def value(self) -> Array:
        return self.restricted

    @property
    def scale(self) -> Array:
        return self.restricted_scale

    @property
    def reach(self) -> Array:
        unrestricted = self.distance if self.per == "pair" else largest(self.squares, -1)
        return np.maximum(unrestricted, self.restricted_scale)

    def factor(self) -> Array:
        chosen = where(self.within, ONE, self.s)
        return chosen[..., None] if self.per == "pair" else chosen

    def choosing(self, within: Any) -> LeakySquaredEuclidean:
        """The same with another choice of branches for the derivative."""
        other = copy.copy(self)
        other.within = within
        return other

    def open_choices(self, tolerance: float, floor: float, spread: Array | None = None) -> list[Any]:
        """Every `within` that a computation may choose which knows the argument to tolerance * its scale + floor.

        The exact one comes first. If more than MAX_OPEN_CHOICES elements are that near to the threshold, what follows
        is all of them below it, and all of them above: so they fall if their squares underflow.
        """
        doubt = self.argument + self.t if np.isfinite(float(self.t)) else self.argument
        if spread is not None:
            pairs = 2 * abs(self.difference) * spread[None]
            doubt = doubt + (total(pairs, -1) if self.per == "pair" else pairs)
        near = np.asarray(abs(self.argument - self.t) <= tolerance * doubt + floor, dtype=bool)
        if self.s == 1 or not near.any():
            return [self.within]
        if near.sum() > MAX_OPEN_CHOICES:
            return [self.within, self.within | near, self.within & ~near]
        places = np.argwhere(near)
        return [
            self._flipped(places[list(flips)]) for r in range(len(places) + 1) for flips in _subsets(len(places), r)
        ]

    def _flipped(self, places: Any) -> Any:
        within = self.within.copy()
        for place in places:
            within[tuple(place)] ^= True
        return within


def _subsets(n: int, r: int) -> Any:
    return itertools.combinations(range(n), r)


class Euclidean(SquaredEuclidean):
    """r = sqrt(d), derivative (x - c) / r, 0 at coincident points."""

    def __init__(self, x: Any, c: Any):
        super().__init__(x, c)
        self.root = sqrt(self.distance)
        self.divisor = where(self.root == 0, ONE, self.root)[..., None]

    @property
    def value(self) -> Array:
        return self.root

    @property
    def scale(self) -> Array:
        return self.root

    @property
    def reach(self) -> Array:
        return self.root

    def jacobian(self) -> Jacobian:
        unit = self.difference / self.divisor
        return Jacobian(unit, abs(unit), -unit, abs(unit))

    def value_condition(self, spread: Array) -> Array:
        return sqrt(total(spread * spread, -1))[None, :] + 0 * self.root  # |r(c + e) - r(c)| <= |e|

    def jacobian_condition(self, spread: Array) -> Array:
        return 2 * sqrt(total(spread * spread, -1))[None, :, None] / self.divisor + 0 * self.difference


class Cosine:
    """1 - x.c / (|x| |c|); with a zero vector 1, gradient 0. d/dx = -(c/|c| - cos x/|x|) / |x|.

    Terms of the value: 1 and the products; the scale of the cosine is therefore sum_k |x_k c_k| / (|x| |c|).
    """

    def __init__(self, x: Any, c: Any):
        self.x_norm, self.x_unit = _norm_and_unit(exact(x))
        self.c_norm, self.c_unit = _norm_and_unit(exact(c))
        products = self.x_unit[:, None, :] * self.c_unit[None, :, :]
        self.cosine, self.cosine_scale = total(products, -1), total(abs(products), -1)
        self.terms = products.shape[-1] + 1
        zero = (self.x_norm == 0)[:, None] | (self.c_norm == 0)[None, :]
        self.alive = where(np.asarray(zero, dtype=bool), ZERO, ONE)[..., None]  # (N, M, 1)

    @property
    def value(self) -> Array:
        return ONE - self.cosine

    @property
    def scale(self) -> Array:
        return ONE + self.cosine_scale

    @property
    def reach(self) -> Array:
        return self.scale

    def jacobian(self) -> Jacobian:
        x, c = self.x_unit[:, None, :], self.c_unit[None, :, :]
        cosine, scale = self.cosine[..., None], self.cosine_scale[..., None]
        x_inverse = self.alive / _nonzero(self.x_norm)[:, None, None]
        c_inverse = self.alive / _nonzero(self.c_norm)[None, :, None]
        return Jacobian(
            (cosine * x - c) * x_inverse,
            (abs(c) + scale * abs(x)) * x_inverse,
            (cosine * c - x) * c_inverse,
            (abs(x) + scale * abs(c)) * c_inverse,
        )

    def value_condition(self, spread: Array) -> Array:
        return self._relative(spread) + 0 * self.cosine

    def jacobian_condition(self, spread: Array) -> Array:
        """For both dx and dc: unit vectors move by at most 2 |e| / |c|, lengths by |e|."""
        lengths = self.alive / _nonzero(self.x_norm)[:, None, None] + self.alive / _nonzero(self.c_norm)[None, :, None]
        return 6 * self._relative(spread)[..., None] * lengths + 0 * self.x_unit[:, None, :]

    def _relative(self, spread: Array) -> Array:
        return (2 * sqrt(total(spread * spread, -1)) / _nonzero(self.c_norm))[None, :]


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
    return (Exact(metric.value, metric.scale, metric.terms, metric.reach),)


def vjp(metric: Any, dy: Any) -> tuple[Exact, ...]:
    """dx_ik = sum_j dy_ij dd_ij/dx_ik and dc_jk = sum_i dy_ij dd_ij/dc_jk; scales: the same sums of absolute values."""
    weight, jacobian = exact(dy)[..., None], metric.jacobian()
    reach = metric.reach
    dx = Exact(
        total(weight * jacobian.dx, 1),
        total(abs(weight) * jacobian.dx_scale, 1),
        max(reach.shape[1], 1),
        largest(reach, 1)[:, None] + 0 * total(jacobian.dx_scale, 1),
    )
    dc = Exact(
        total(weight * jacobian.dc, 0),
        total(abs(weight) * jacobian.dc_scale, 0),
        max(reach.shape[0], 1),
        largest(reach, 0)[:, None] + 0 * total(jacobian.dc_scale, 0),
    )
    return dx, dc
