"""Numbers in two halves, x = x1 + x2, on a grid of step q, so that products of first halves and their sums are exact.

x1 is the multiple of q next to x, a whole number of at most `bits` bits times q. So a product of two is a whole number
of 2 bits bits times q^2, and a sum of n of them has log2 n bits more: float64 holds it without rounding. x2 is at most
q / 2. What it contributes is smaller by 2^bits, and so are the rounding errors of that.
"""

from __future__ import annotations

import math

import numpy as np

from leakysm.backends.numpy.arrays import Doubles, Floats

UNIT = 2.0**-53  # rounding of one float64 operation
SAFE = 2.0**460  # magnitudes from 1 / SAFE to SAFE can be multiplied and summed without over- or underflow


def bits_for(n: int) -> int:
    """Bits of x1 with which sums of n products, and twice those, are exact."""
    return (50 - max(n, 2).bit_length()) // 2


def largest(a: Floats) -> float:
    """max |a|, NaN if there is one. `a` is not empty."""
    return max(float(a.max()), -float(a.min()))


def step(magnitude: float, bits: int) -> float:
    """The grid's step for numbers up to `magnitude`: a power of two, such that they are less than 2^bits steps."""
    return math.ldexp(1.0, math.frexp(magnitude)[1] - bits)


def split(x: Floats, q: Doubles | float, first: Doubles, second: Doubles) -> None:
    """Fill x1 and x2, by adding a number so large that float64's own grid has the step q there: 1.5 2^52 q."""
    coarse = 1.5 * 2.0**52 * q
    np.add(x, coarse, out=first)
    np.subtract(first, coarse, out=first)
    np.subtract(x, first, out=second)


def can_split(magnitudes: Doubles) -> bool:
    """Whether numbers up to these magnitudes are all within the safe range; not so for NaN and infinities."""
    if magnitudes.min() >= 1 / SAFE and magnitudes.max() <= SAFE:
        return True
    return bool(np.all((magnitudes == 0) | ((magnitudes >= 1 / SAFE) & (magnitudes <= SAFE))))
