"""Float64 matrix products that are exact where it matters: numbers are split on a grid of step q, x = x1 + x2.

x1 are multiples of q of at most `bits` bits: products of them, and sums of n products, are exact. What x2, at most
q / 2, contributes is smaller by 2^bits, and so are its rounding errors.
"""

from __future__ import annotations

import math

import numpy as np

UNIT = 2.0**-53  # rounding of one float64 operation
SAFE = 2.0**460  # magnitudes from 1 / SAFE to SAFE can be multiplied and summed without over- or underflow


def bits_for(n: int) -> int:
    """Bits of x1 with which sums of n products, and twice those, are exact."""
    return (50 - max(n, 2).bit_length()) // 2


def largest(a: np.ndarray) -> float:
    """max |a|, NaN if there is one. `a` is not empty."""
    return max(float(a.max()), -float(a.min()))


def step(magnitude: float, bits: int) -> float:
    """The grid for numbers up to `magnitude`: the power of two of which they are less than 2^bits multiples."""
    return math.ldexp(1.0, math.frexp(magnitude)[1] - bits)


def split(x: np.ndarray, q: np.ndarray | float, first: np.ndarray, second: np.ndarray) -> None:
    """Fill x1 and x2. Near 1.5 2^52 q, float64's own grid has the step q."""
    coarse = 1.5 * 2.0**52 * q
    np.add(x, coarse, out=first)
    np.subtract(first, coarse, out=first)
    np.subtract(x, first, out=second)


def can_split(magnitudes: np.ndarray) -> bool:
    """Whether numbers up to these magnitudes are all within the safe range; not so for NaN and infinities."""
    if magnitudes.min() >= 1 / SAFE and magnitudes.max() <= SAFE:
        return True
    return bool(np.all((magnitudes == 0) | ((magnitudes >= 1 / SAFE) & (magnitudes <= SAFE))))
