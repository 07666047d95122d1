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
from leakysm.ops.arrays import tree_sum

FEW = 3  # channels
PIECES = 8  # that a chunk's rows are cut into


def few_channels(x: np.ndarray) -> bool:
    """Whether a block on x (N, H, W, C) is computed this way."""
    return x.shape[3] <= FEW and x.dtype == np.float32


def add_products(products: np.ndarray, columns: np.ndarray, scratch: Scratch) -> None:
    """Add X^T X to the lower triangle of `products`, in blocks of nine rows. columns (9 C, m).

    Each block is a stack of small products: NumPy keeps the interpreter's lock in a product with few results.
    """
    taps, m = columns.shape
    piece = -(-m // PIECES)
    wide = scratch("wide", (taps + 1, PIECES, piece), np.float64)  # one row more than is used: of two equal operands
    flat = wide.reshape(taps + 1, -1)  # NumPy would make a call that is slow for few rows
    flat[:-1, :m], flat[:-1, m:], flat[-1] = columns, 0, 0
    for first in range(0, taps, 9):
        left, right = wide[first : first + 9].transpose(1, 0, 2), wide[: first + 10].transpose(1, 2, 0)
        products[first : first + 9, : first + 9] += np.matmul(left, right).sum(axis=0)[:, :-1]


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
