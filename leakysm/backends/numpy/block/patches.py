"""Moments of the im2col matrix X (m, 9 C) of a block with few input channels, such as the first one.

There the outputs are many and each costs little, so moving them costs more than computing them. Two of their uses need
only X^T X, 9 x 9 for one channel: with outputs o = X w, centred,

    variance = diag(w^T cov(X) w)        X^T o = n cov(X) w

For float32 input, in float64: the relative error (S / sigma)^2 2^-53, S = sum |x w|, is below that of outputs rounded
to float32, (S / sigma) 2^-24, wherever the latter is below 1. For float64 input that does not hold, and it is not done.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakysm.backends.numpy.block.channels import pairwise_sum
from leakysm.backends.numpy.block.windows import Chunk
from leakysm.backends.numpy.scratch import Scratch

FEW = 3  # channels
PIECES = 8  # that a chunk's rows are cut into


def few_channels(x: np.ndarray) -> bool:
    """Whether a block on x (N, H, W, C) is computed this way."""
    return x.shape[3] <= FEW and x.dtype == np.float32


def add_products(products: np.ndarray, columns: np.ndarray, scratch: Scratch) -> None:
    """Add X^T (1, X) to the first column and the lower triangle of `products`. columns (9 C, m) -> (9 C, 1 + 9 C).

    In blocks of nine rows, each a stack of small products: NumPy keeps the interpreter's lock in a product with few
    results, and of two equal operands it makes a call that is slow for few rows.
    """
    taps, m = columns.shape
    wide = scratch("wide", (1 + taps, PIECES, -(-m // PIECES)), np.float64)
    flat = wide.reshape(1 + taps, -1)
    flat[:, m:] = 0
    flat[0, :m], flat[1:, :m] = 1, columns
    left, right = wide.transpose(1, 0, 2), wide.transpose(1, 2, 0)
    for first in range(0, taps, 9):
        rows, seen = slice(first, first + 9), 1 + first + 9
        products[rows, :seen] += np.matmul(left[:, 1 + first : seen], right[:, :, :seen]).sum(axis=0)


@dataclass
class Patches:
    """X by chunk, transposed; the number of its rows, their sums (9 C,) and products X^T X (9 C, 9 C), in float64."""

    columns: np.ndarray  # (9 C N H W,)
    count: int
    sums: np.ndarray
    products: np.ndarray

    @classmethod
    def none(cls, columns: np.ndarray, taps: int) -> Patches:
        """With `columns` to be filled."""
        return cls(columns, 0, np.zeros(taps), np.zeros((taps, taps)))

    def of(self, chunk: Chunk) -> np.ndarray:
        """The chunk's rows of X, transposed: (9 C, m)."""
        taps, at = len(self.sums), chunk.outputs
        return self.columns[taps * at.start : taps * at.stop].reshape(taps, at.stop - at.start)

    def empty(self) -> np.ndarray:
        """What `add_products` can be added to."""
        return np.zeros((len(self.sums), len(self.sums) + 1))

    def set(self, products: list[np.ndarray], count: int) -> None:
        """Take over what `add_products` found in all parts of X."""
        summed = pairwise_sum(products)
        lower = np.tril(summed[:, 1:])
        self.count, self.sums, self.products = count, summed[:, 0], lower + np.tril(lower, -1).T

    def centred(self) -> np.ndarray:
        """X^T X with every column's mean taken away."""
        return self.products - self.sums[:, None] * (self.sums / self.count)

    def mean(self, w: np.ndarray) -> np.ndarray:
        """Mean of the outputs X w, (F,) in float64. w (9 C, F)."""
        mean: np.ndarray = self.sums @ w.astype(np.float64) / self.count
        return mean

    def variance(self, w: np.ndarray) -> np.ndarray:
        """Their biased variance, (F,) in float64."""
        wide = w.astype(np.float64)
        variance: np.ndarray = np.maximum(np.sum(wide * (self.centred() @ wide), axis=0) / self.count, 0)
        return variance

    def everywhere(self, w: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """X^T (a o + b) with o = X w centred, (9 C, F) in float64. w (9 C, F), a, b (F,)."""
        summed: np.ndarray = self.centred() @ w.astype(np.float64) * a + self.sums[:, None] * b
        return summed
