"""Batch normalisation (Ioffe & Szegedy 2015) in 50-digit arithmetic, by the batch's statistics or by given ones.

x-hat = (x - mean) / sigma, sigma = sqrt(variance + eps). `noise` is the scale of the rounding errors that x already
has: 0 for a given x, V = |x| * |w| after a convolution. With B = mean(|x| + noise), the scales of the steps are:

- The mean: B.
- The variance: V = variance + sigma B / 4 + kappa B^2 + 2 sigma mean(|x-hat| noise). The second term is for an
  algorithm that updates mean and variance value by value (Welford's): its relative error is B / sigma. The third:
  around a mean that is off by e, the variance is larger by e^2. This matters where B is many times sigma. kappa =
  (n + terms + 2) 2^-24 allows as many roundings as a mean may have in float32; each x is a sum of `terms` terms.
- sigma, relative to it: Q = 1 + ((V - variance) / sigma) / sigma, with half as many roundings as the variance.
- x-hat: P = (B + noise) / sigma + |x-hat| Q. So the condition mean|x| / sigma enters everything that follows.

Underflow: a product or quotient loses at most one smallest normal number, times the factors of the later steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact
from leakysm.verify.precise import Array, Magnitude, exact, magnitude, number, sqrt, total

_UNIT = 2.0**-24  # one rounding in float32


def per_channel(x: Array) -> Array:
    """(..., C) -> (n, C)."""
    return x.reshape(-1, x.shape[-1])


class BatchStatistics:
    """Batch statistics of x (n, C), x-hat, and their conditions B, Q (C,) and P (n, C), which are magnitudes.

    terms: how many terms each x is itself a sum of. lost: what underflow may have cost each x, a number or (C,).
    """

    def __init__(self, x: Array, eps: float, noise: Magnitude | None = None, terms: int = 0):
        self.count = x.shape[0]
        self.noise = np.zeros(x.shape) if noise is None else noise
        self.mean = self.average(x)
        centred = x - self.mean
        self.variance = self.average(centred * centred)
        self.eps, self.terms = number(eps), terms
        self.sigma = sqrt(self.variance + self.eps)
        self.x_hat = centred / self.sigma
        self.deviation, self.hat = magnitude(self.sigma), magnitude(self.x_hat)
        self.b = self.average(magnitude(x) + self.noise)
        bend = (self.count + terms + 2) * _UNIT * self.b * self.b
        shared = self.average(self.hat * self.noise)
        self.drift = self.deviation * self.b / 4 + bend + 2 * self.deviation * shared
        self.q = 1 + self.drift / self.deviation / self.deviation
        self.p = (self.b + self.noise) / self.deviation + self.hat * self.q

    def average(self, values: Any) -> Any:
        """The mean (C,) of an array or of magnitudes."""
        return total(values, 0) / self.count

    def statistics(self) -> tuple[Exact, Exact]:
        """Mean and biased variance (C,)."""
        variance_scale = magnitude(self.variance) + self.drift
        lost = self.terms + 3.0
        return Exact.of(self.mean, self.b, lost), Exact.of(self.variance, variance_scale, 1 + lost * (1 + 4 * self.b))

    def output(self, scale: Array, shift: Array) -> tuple[Array, Magnitude, Magnitude]:
        """scale x-hat + shift, the scale of its rounding error, and what underflow may cost it, (n, C)."""
        size = magnitude(scale)
        under = 2 + size * (1 + self._lost())
        return self.x_hat * scale + shift, self.p * size + magnitude(shift), under

    def _lost(self) -> Magnitude:
        """What x-hat may lose by underflow: in x - mean, in the product, and in the variance."""
        return 1 + 3 / self.deviation + self.hat * (2 / self.deviation) / self.deviation

    def gradients(self, scale: Array, dy: Array) -> tuple[tuple[Array, Magnitude, Magnitude], Exact, Exact]:
        """dx (n, C) with its scale and underflow; dscale = sum dy x-hat; dshift = sum dy.

        dx = scale / sigma (dy - mean dy - x-hat mean(dy x-hat)); its terms, times Q for sigma, and P for each x-hat.
        """
        size, aligned, steep = magnitude(dy), dy * self.x_hat, magnitude(scale) / self.deviation
        overlap, lost = self.average(size * self.hat), self._lost()
        dx = scale / self.sigma * (dy - self.average(dy) - self.x_hat * self.average(aligned))
        terms = self.q * (size + self.average(size) + self.hat * overlap)
        terms = terms + self.p * overlap + self.hat * self.average(size * self.p)
        cost = 4 + lost * overlap + self.hat * (2 + self.average(size * lost))
        under = 2 + magnitude(scale) + steep * cost
        dscale = Exact.of(total(aligned, 0), total(size * self.p, 0), self.count + total(size * lost, 0))
        dshift = Exact.of(total(dy, 0), total(size, 0), float(self.count))
        return (dx, steep * terms, under), dscale, dshift


def batch_norm(x: Any, scale: Any, shift: Any, *, eps: float = 1e-5) -> tuple[Exact, ...]:
    """x (..., C) -> y like x, mean (C,), biased variance (C,)."""
    batch = BatchStatistics(per_channel(exact(x)), eps)
    y = (part.reshape(np.shape(x)) for part in batch.output(exact(scale), exact(shift)))
    return (Exact.of(*y), *batch.statistics())


def batch_norm_vjp(x: Any, scale: Any, shift: Any, dy: Any, *, eps: float = 1e-5) -> tuple[Exact, ...]:
    """dx, dscale, dshift, for the cotangent of y alone."""
    batch = BatchStatistics(per_channel(exact(x)), eps)
    dx, dscale, dshift = batch.gradients(exact(scale), per_channel(exact(dy)))
    return Exact.of(*(part.reshape(np.shape(x)) for part in dx)), dscale, dshift


class GivenStatistics:
    """Normalisation of x (n, C) by a given mean and variance. Terms: scale x / sigma, scale mean / sigma, shift."""

    def __init__(
        self, x: Array, scale: Any, shift: Any, mean: Any, variance: Any, eps: float, noise: Magnitude | None = None
    ):
        self.count = x.shape[0]
        self.scale, self.shift, self.mean = exact(scale), exact(shift), exact(mean)
        self.sigma = sqrt(exact(variance) + number(eps))
        self.centred, self.deviation = x - self.mean, magnitude(self.sigma)
        self.centred_scale = magnitude(x) + magnitude(self.mean) + (0 if noise is None else noise)

    def output(self) -> tuple[Array, Magnitude, Magnitude]:
        """The normalised values (n, C), the scale of their rounding error, and what underflow may cost."""
        factor = self.scale / self.sigma
        size = magnitude(factor)
        under = 3 + 3 * size + magnitude(self.scale) + self.centred_scale
        return self.centred * factor + self.shift, self.centred_scale * size + magnitude(self.shift), under

    def gradients(self, dy: Array) -> tuple[tuple[Array, Magnitude, Magnitude], Exact, Exact, Exact, Exact]:
        """dx with its scale and underflow, then dscale, dshift, dmean, dvariance (C,)."""
        factor, size, count = self.scale / self.sigma, magnitude(dy), float(self.count)
        steep, cubic = magnitude(factor), self.scale / (2 * self.sigma * self.sigma * self.sigma)
        centred, spread = total(dy * self.centred, 0), total(size * self.centred_scale, 0)
        all_dy, inverse = total(size, 0), 1 / self.deviation
        lost = count * (2 + 3 * inverse) + all_dy * (1 + 3 * inverse)  # of dscale: in x - mean, x-hat and dy x-hat
        return (
            (dy * factor, size * steep, 2 + size + steep),
            Exact.of(centred / self.sigma, spread / self.deviation, lost + 1),
            Exact.of(total(dy, 0), all_dy, count),
            Exact.of(-total(dy, 0) * factor, all_dy * steep, 2 + all_dy + count * steep),
            Exact.of(
                -centred * cubic,
                spread * magnitude(cubic),
                3 + (1 + inverse) * spread * inverse + steep * (1 + lost * inverse),
            ),
        )


def batch_norm_inference(
    x: Any, scale: Any, shift: Any, mean: Any, variance: Any, *, eps: float = 1e-5
) -> tuple[Exact, ...]:
    """y = scale (x - mean) / sqrt(variance + eps) + shift."""
    y = GivenStatistics(per_channel(exact(x)), scale, shift, mean, variance, eps).output()
    return (Exact.of(*(part.reshape(np.shape(x)) for part in y)),)


def batch_norm_inference_vjp(
    x: Any, scale: Any, shift: Any, mean: Any, variance: Any, dy: Any, *, eps: float = 1e-5
) -> tuple[Exact, ...]:
    """dx, dscale, dshift, dmean, dvariance."""
    given = GivenStatistics(per_channel(exact(x)), scale, shift, mean, variance, eps)
    dx, *channels = given.gradients(per_channel(exact(dy)))
    return (Exact.of(*(part.reshape(np.shape(x)) for part in dx)), *channels)
