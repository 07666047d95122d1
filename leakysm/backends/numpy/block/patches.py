"""The im2col matrix X (n, 9 C) of a block with few input channels, such as the first one, and its moments.

There the outputs are many and each costs little, so moving them costs more than computing them. X is kept in their
place. Two of their uses need only X^T X, 9 x 9 for one channel: with outputs o = X w,

    variance = diag(w^T cov(X) w)        X^T (o - mean) = n cov(X) w

For float32 input, in float64: the relative error (S / sigma)^2 2^-53, S = sum |x w|, is below that of outputs rounded
to float32, (S / sigma) 2^-24, wherever the latter is below 1. For float64 it does not hold, so outputs are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakysm.backends.numpy.arrays import Doubles, Floats
from leakysm.backends.numpy.block.chunks import Chunk
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.sums import pairwise_sum

FEW = 3  # channels
PIECES = 8  # that a chunk's rows are cut into


def few_channels(x: Floats) -> bool:
    """Whether a block on x (N, H, W, C) is computed this way."""
    return x.shape[3] <= FEW and x.dtype == np.float32


def patches_of(columns: Floats, taps: int, chunk: Chunk) -> Floats:
    """The chunk's rows of X, transposed, (9 C, m): a part of `columns` (9 C n,), where X stands chunk by chunk."""
    at = chunk.outputs
    return columns[taps * at.start : taps * at.stop].reshape(taps, chunk.size)


def add_products(products: Doubles, columns: Floats, scratch: Scratch) -> None:
    """products += X^T (1, X), on and below the diagonal of X^T X. columns: X^T of a chunk, (9 C, m).

    products (9 C, 1 + 9 C), float64: the sums of X's columns, then X^T X. This is symmetric, so nine rows at a time are
    computed, up to their last element on the diagonal.

    The m rows are cut in PIECES, with zeros at the end, and nine rows of the result are the sum of a stack of small
    products. In a single product with few results, NumPy keeps the interpreter lock; for the product of a matrix with
    itself, it makes a BLAS call that is slow for few rows.
    """
    taps, m = columns.shape
    pieces = scratch("wide", (1 + taps, PIECES, -(-m // PIECES)), np.float64)
    ones_and_columns = pieces.reshape(1 + taps, -1)
    ones_and_columns[:, m:] = 0
    ones_and_columns[0, :m], ones_and_columns[1:, :m] = 1, columns
    left, right = pieces.transpose(1, 0, 2), pieces.transpose(1, 2, 0)  # a stack of (1, X)^T, a stack of (1, X)
    for first in range(0, taps, 9):
        last = first + 9
        stack = np.matmul(left[:, 1 + first : 1 + last], right[:, :, : 1 + last])
        products[first:last, : 1 + last] += stack.sum(axis=0)


@dataclass(frozen=True)
class Patches:
    """X by chunk, transposed; the number of its rows, their sums (9 C,) and products X^T X (9 C, 9 C), in float64."""

    columns: Floats  # (9 C n,)
    count: int
    sums: Doubles
    products: Doubles

    @classmethod
    def of(cls, columns: Floats, count: int, products: list[Doubles]) -> Patches:
        """Make it from X in `columns`, and from what `add_products` returned for each part."""
        summed = pairwise_sum(products)
        lower = np.tril(summed[:, 1:])
        return cls(columns, count, summed[:, 0], lower + np.tril(lower, -1).T)

    def of_chunk(self, chunk: Chunk) -> Floats:
        """The chunk's rows of X, transposed: (9 C, m)."""
        return patches_of(self.columns, len(self.sums), chunk)

    def centred(self) -> Doubles:
        """n cov(X): X^T X with every column's mean taken away."""
        return self.products - self.sums[:, None] * (self.sums / self.count)

    def mean(self, w: Floats) -> Doubles:
        """Mean of the outputs X w, (F,). w (9 C, F)."""
        return self.sums @ w.astype(np.float64) / self.count

    def variance(self, w: Floats) -> Doubles:
        """Biased variance of the outputs X w, (F,). w (9 C, F)."""
        wide = w.astype(np.float64)
        variance: Doubles = np.maximum(np.sum(wide * (self.centred() @ wide), axis=0) / self.count, 0)
        return variance

    def everywhere(self, w: Floats, a: Doubles, b: Doubles) -> Doubles:
        """X^T (a (o - mean) + b) with o = X w, (9 C, F). w (9 C, F), a, b (F,)."""
        return self.centred() @ w.astype(np.float64) * a + self.sums[:, None] * b
