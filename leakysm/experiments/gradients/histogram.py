"""Histograms over many orders of magnitude: four bins a decade, and one for zero and the smallest values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from leakysm.experiments.gradients.measure import Pairs

QUANTITIES = ("distance", "gradient")
# The first bin is [0, 1e-12), the last is [1e8, +inf]: every value that is not negative falls into one bin.
EDGES = np.concatenate([[0.0], 10.0 ** (np.arange(-48, 33) / 4), [np.inf]])


def counts(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of the values fall into each bin [EDGES[k], EDGES[k + 1]); the last bin holds +inf, too.

    No value may be negative.
    """
    bins = np.searchsorted(EDGES, values.ravel(), side="right") - 1
    return np.bincount(np.minimum(bins, len(EDGES) - 2), minlength=len(EDGES) - 1).astype(np.int64)


def rows(watched: Mapping[tuple[str, int, int], Pairs]) -> Iterator[tuple[str | int | float, ...]]:
    """(setting, seed, step, quantity, low, high, count) of every bin that is not empty."""
    for (name, seed, step), pairs in watched.items():
        for quantity, values in zip(QUANTITIES, (pairs.distances, pairs.gradients), strict=True):
            numbers = counts(values)
            for k in np.flatnonzero(numbers):
                yield name, seed, step, quantity, float(EDGES[k]), float(EDGES[k + 1]), int(numbers[k])
