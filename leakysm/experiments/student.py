"""Student's t distribution; intervals and p-values of a few paired differences; the correction of several p-values.

    P(|T| > t) = I_x(v / 2, 1 / 2),    x = v / (v + t^2)

with I the regularised incomplete beta function, by its continued fraction. Source: Abramowitz & Stegun (1964), 26.5.8
and 26.7.1; the fraction is evaluated by Lentz's method as modified by Thompson & Barnett (1986).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 3  # differences; from fewer nothing is inferred
_ROUNDING, _SAME = 2.0**-53, 1e-12


@dataclass(frozen=True)
class Paired:
    """Differences in pairs, of `n` training seeds. interval: half the 95 % interval's width; p_value: two-sided, of the
    hypothesis that the mean difference is 0. Both None if n is below 3. No p-value is known of differences that are
    all the same and not 0."""

    mean: float
    interval: float | None
    p_value: float | None
    n: int


def paired(differences: Sequence[float]) -> Paired:
    """Mean, Student's 95 % interval and p-value of independent differences. ValueError if there is none."""
    n = len(differences)
    if n == 0:
        raise ValueError("no differences: at least one is expected")
    mean = math.fsum(differences) / n
    if n < LEAST:
        return Paired(mean, None, None, n)
    spread = max(abs(d - mean) for d in differences)
    if spread <= _SAME * max(map(abs, differences)):
        return Paired(mean, 0.0, None if mean else 1.0, n)
    # divided by the spread, so that no square vanishes
    error = spread * math.sqrt(math.fsum(((d - mean) / spread) ** 2 for d in differences) / (n - 1) / n)
    return Paired(mean, quantile(0.95, n - 1) * error, two_sided(mean / error, n - 1), n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value corrected for their number. A corrected one is at least as large as those of all smaller p-values.

    The k-th smallest of m becomes the largest of (m - j + 1) p_j over j <= k, at most 1. Then the chance that any test
    without a real difference falls below a level is at most that level. Source: Holm (1979), "A simple sequentially
    rejective multiple test procedure", Scandinavian Journal of Statistics 6(2).
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def two_sided(t: float, degrees: int) -> float:
    """P(|T| > |t|) with `degrees` of freedom, 1 or more."""
    square = t * t
    return incomplete_beta(degrees / 2, 0.5, degrees / (degrees + square), square / (degrees + square))


def quantile(confidence: float, degrees: int) -> float:
    """The t >= 0 with P(|T| <= t) = confidence, by bisection to the last bit; confidence in (0, 1)."""
    low, high = 0.0, 1.0
    while two_sided(high, degrees) > 1 - confidence:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        if two_sided(middle, degrees) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """I_x(a, b), a > 0, b > 0, 0 <= x <= 1. y = 1 - x, given apart so that a small one keeps its digits."""
    if x == 0 or y == 0:
        return float(y == 0)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly: I_x(a, b) = 1 - I_y(b, a)
        return 1 - incomplete_beta(b, a, y, x)
    front = a * math.log(x) + b * math.log(y) - (math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
    return math.exp(front) / (a * _continued_fraction(a, b, x))


def _continued_fraction(a: float, b: float, x: float) -> float:
    """1 + d1 / (1 + d2 / (1 + ...)), Abramowitz & Stegun 26.5.8, by the modified Lentz method."""
    value, c, d = 1.0, 1.0, 0.0
    for i in range(1, 10_000):
        m = i // 2
        if i % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d)
        c = 1 + term / c
        value *= c * d
        if abs(c * d - 1) <= _ROUNDING:
            return value
    raise ArithmeticError(f"incomplete beta: no convergence at a={a}, b={b}, x={x}")
