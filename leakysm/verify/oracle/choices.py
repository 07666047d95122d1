"""Discrete choices that a computation may make either way, and the gradients that they allow.

On which side of a threshold a distance lies, or which value of a window is the largest, may depend on less than a
rounding error. Such a choice is open. A gradient is linear in its choices: it is the exact gradient plus, for each open
choice, the change that the other option makes. So every element has a list of right values, or an interval if many
choices are open.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakysm.verify.bounds import Floats, Precision, split
from leakysm.verify.precise import Array, Magnitude, precisely, rounded, total

LISTED = 4  # an element on which at most so many choices are open is compared with every combination


@dataclass(frozen=True)
class Doubt:
    """How far the argument of a choice may be off: k eps scale, plus `under` smallest normal numbers."""

    k: float
    precision: Precision

    def of(self, scale: Magnitude, under: Any) -> Magnitude:
        return self.k * self.precision.eps * scale + self.precision.smallest_normal * under


@dataclass(frozen=True, eq=False)
class OpenGradient:
    """The values that open choices allow a gradient: candidates where `few` is true, elsewhere an interval; its scale.

    high + low: the candidates (A, ...). An element that no choice touches has its exact value in all of them.
    """

    few: np.ndarray[Any, np.dtype[np.bool_]]
    high: Floats
    low: Floats
    least: Floats
    most: Floats
    scale: Floats

    def distance(self, computed: Floats) -> Floats:
        """The distance from each element to the nearest value that is right for it."""
        with np.errstate(invalid="ignore", over="ignore"):
            listed = np.min(np.abs((computed - self.high) - self.low), axis=0)
            outside = np.maximum(np.maximum(self.least - computed, computed - self.most), 0.0)
        return np.asarray(np.where(self.few, listed, outside))


@precisely
def spanned(base: Array, scale: Magnitude, groups: Sequence[Array]) -> OpenGradient:
    """base (...) plus one option of every group (P, ...): the changes that its options make, the first of them 0."""
    sizes = [abs(group) for group in groups]
    least = base + sum((np.minimum.reduce(group, axis=0) for group in groups), start=0 * base)
    most = base + sum((np.maximum.reduce(group, axis=0) for group in groups), start=0 * base)
    wider = scale + sum((np.maximum.reduce(size, axis=0) for size in sizes), start=0 * base)
    touched = [np.asarray(np.maximum.reduce(size, axis=0) != 0, dtype=bool) for size in sizes]
    count = np.sum(touched, axis=0) if touched else np.zeros(base.shape, dtype=int)
    candidates = base[None] + _combinations(groups, touched, count)
    high, low = split(candidates)
    return OpenGradient(count <= LISTED, high, low, rounded(least), rounded(most), rounded(wider))


def _combinations(groups: Sequence[Array], touched: Sequence[Any], count: Any) -> Array:
    """(A, ...): the sums of every combination of the first LISTED groups that touch an element."""
    if not groups:
        return 0 * np.zeros((1, *np.shape(count)), dtype=object)
    options = max(len(group) for group in groups)
    padded = np.stack([np.concatenate([g, np.repeat(g[:1], options - len(g), 0)]) for g in groups])  # (G, P, ...)
    order = np.argsort(~np.stack(touched), axis=0, kind="stable")  # touching groups first, element by element
    first = np.take_along_axis(padded, order[:, None], axis=0)[: min(LISTED, int(count.max(initial=0)))]
    picks = itertools.product(range(options), repeat=len(first))
    rows = [total(np.stack([first[g, p] for g, p in enumerate(pick)]), 0) for pick in picks if pick]
    return np.stack(rows) if rows else np.zeros((1, *np.shape(count)), dtype=object)
