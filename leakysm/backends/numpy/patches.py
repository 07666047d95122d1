"""Moments of the im2col matrix X (m, 9 C) of a block with few input channels, such as the first one.

There the outputs are many and each costs little, so moving them costs more than computing them. Two of their uses need
only X^T X, 9 x 9 for one channel: with outputs o = X w, centred,

    variance = diag(w^T cov(X) w)        X^T o = n cov(X) w

For float32 input, in float64: the relative error (S / sigma)^2 2^-53, S = sum |x w|, is below that of outputs rounded
to float32, (S / sigma) 2^-24, wherever the latter is below 1. For float64 input that does not hold, and it is not done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.windows import cut
from leakysm.ops.arrays import tree_sum

FEW = 3  # channels
PIECE = 3500  # rows of a small product of nine by 28 columns


def few_channels(x: np.ndarray) -> bool:
    """Whether a block on x (N, H, W, C) is computed this way."""
    return x.shape[3] <= FEW and x.dtype == np.float32


def add_products(products: np.ndarray, columns: np.ndarray, scratch: Scratch) -> None:
    """Add X^T X to the lower triangle of `products`, in blocks of nine rows, each a small product. columns (9 C, m)."""
    taps, m = columns.shape
    wide = scratch("wide", (taps + 1, m), np.float64)  # one row more than is used: of two equal operands
    wide[:-1], wide[-1] = columns, 0  # NumPy would make a call that is slow for few rows
    for first in range(0, taps, 9):
        for start, stop in cut(m, PIECE):
            rows = wide[:, start:stop]
            products[first : first + 9, : first + 9] += (rows[first : first + 9] @ rows[: first + 10].T)[:, :-1]


@dataclass(frozen=True)
class Patches:
    """Number, sums (9 C,) and products X^T X (9 C, 9 C) of the rows of X, in float64."""

    count: int
    sums: np.ndarray
    products: np.ndarray

    def add(self, products: Sequence[np.ndarray]) -> None:
        """Add the products of further rows, lower triangles."""
        lower = np.tril(tree_sum(np, np.stack(products), axis=0))
        self.products[...] += lower + np.tril(lower, -1).T

    def centred(self) -> np.ndarray:
        """X^T X with every column's mean taken away."""
        return self.products - self.sums[:, None] * (self.sums / self.count)

    def variance(self, w: np.ndarray) -> np.ndarray:
        """Biased variance of the outputs X w, (F,) in float64. w (9 C, F)."""
        wide = w.astype(np.float64)
        variance: np.ndarray = np.maximum(np.sum(wide * (self.centred() @ wide), axis=0) / self.count, 0)
        return variance

    def everywhere(self, w: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """X^T (a o + b) with o = X w centred, (9 C, F) in float64. w (9 C, F), a, b (F,)."""
        summed: np.ndarray = self.centred() @ w.astype(np.float64) * a + self.sums[:, None] * b
        return summed
