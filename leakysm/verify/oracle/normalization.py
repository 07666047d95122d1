"""Batch normalisation (Ioffe & Szegedy 2015) in 50-digit arithmetic, by the batch's statistics or by given ones.

x-hat = (x - mean) / sigma, sigma = sqrt(variance + eps). `noise` is the scale of the rounding that x already carries
(0 for a given x; |x| * |w| behind a convolution). With B = mean(|x| + noise):
mean carries B roundings; sigma carries relatively Q = 1 + (B + mean(|x-hat| noise)) / sigma; x-hat carries
P = (B + noise) / sigma + |x-hat| Q. So the condition mean|x| / sigma enters everything that follows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact
from leakysm.verify.precise import ONE, Array, exact, number, sqrt, total, zeros


def _per_channel(x: Array) -> Array:
    """(..., C) -> (n, C)."""
    return x.reshape(-1, x.shape[-1])


class Normalised:
    """Batch statistics of x (n, C), x-hat, and their conditions B, Q (C,) and P (n, C)."""

    def __init__(self, x: Array, eps: float, noise: Array | None = None):
        self.count = x.shape[0]
        noise = zeros(x.shape) if noise is None else noise
        self.mean = self.average(x)
        centred = x - self.mean
        self.variance = self.average(centred * centred)
        self.sigma = sqrt(self.variance + number(eps))
        self.x_hat = centred / self.sigma
        self.b = self.average(abs(x) + noise)
        self.drift = self.b + self.average(abs(self.x_hat) * noise)
        self.q = ONE + self.drift / self.sigma
        self.p = (self.b + noise) / self.sigma + abs(self.x_hat) * self.q
        self.reach = total((abs(x) + noise) * (abs(x) + noise), 0)

    def average(self, values: Array) -> Array:
        return total(values, 0) / self.count

    def statistics(self) -> tuple[Exact, Exact]:
        """Mean and biased variance (C,)."""
        variance_scale = self.variance + 2 * self.sigma * self.drift
        return (
            Exact(self.mean, self.b, self.count),
            Exact(self.variance, variance_scale, self.count, self.reach),
        )

    def output(self, scale: Array, shift: Array) -> tuple[Array, Array]:
        """scale x-hat + shift and the scale of its rounding error, (n, C)."""
        return self.x_hat * scale + shift, self.p * abs(scale) + abs(shift)

    def gradients(self, scale: Array, dy: Array) -> tuple[Array, Array, Exact, Exact]:
        """dx (n, C) and its scale; dscale = sum dy x-hat; dshift = sum dy.

        dx = scale / sigma (dy - mean dy - x-hat mean(dy x-hat)); its terms, times Q for sigma, and P for each x-hat.
        """
        size, aligned = abs(dy), dy * self.x_hat
        overlap = self.average(abs(aligned))
        dx = scale / self.sigma * (dy - self.average(dy) - self.x_hat * self.average(aligned))
        terms = self.q * (size + self.average(size) + abs(self.x_hat) * overlap)
        terms = terms + self.p * overlap + abs(self.x_hat) * self.average(size * self.p)
        dscale = Exact(total(aligned, 0), total(size * self.p, 0), self.count, self.reach)
        return dx, abs(scale) / self.sigma * terms, dscale, Exact(total(dy, 0), total(size, 0), self.count)


def batch_norm(x: Any, scale: Any, shift: Any, *, eps: float = 1e-5) -> tuple[Exact, ...]:
    """x (..., C) -> y like x, mean (C,), biased variance (C,)."""
    batch = Normalised(_per_channel(exact(x)), eps)
    y, y_scale = batch.output(exact(scale), exact(shift))
    shape = np.shape(x)
    y_exact = Exact(y.reshape(shape), y_scale.reshape(shape), 4, _spread(batch.reach, shape))
    return (y_exact, *batch.statistics())


def batch_norm_vjp(x: Any, scale: Any, shift: Any, dy: Any, *, eps: float = 1e-5) -> tuple[Exact, ...]:
    """dx, dscale, dshift, for the cotangent of y alone."""
    batch = Normalised(_per_channel(exact(x)), eps)
    dx, dx_scale, dscale, dshift = batch.gradients(exact(scale), _per_channel(exact(dy)))
    shape = np.shape(x)
    return (
        Exact(dx.reshape(shape), dx_scale.reshape(shape), batch.count + 4, _spread(batch.reach, shape)),
        dscale,
        dshift,
    )


def _spread(per_channel: Array, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(per_channel, shape)


class Given:
    """Normalisation of x (n, C) by a given mean and variance. Terms: scale x / sigma, scale mean / sigma, shift."""

    def __init__(
        self, x: Array, scale: Any, shift: Any, mean: Any, variance: Any, eps: float, noise: Array | None = None
    ):
        self.count = x.shape[0]
        self.scale, self.shift, self.mean = exact(scale), exact(shift), exact(mean)
        self.sigma = sqrt(exact(variance) + number(eps))
        self.centred = x - self.mean
        self.centred_scale = abs(x) + abs(self.mean) + (zeros(x.shape) if noise is None else noise)

    def output(self) -> tuple[Array, Array]:
        factor = self.scale / self.sigma
        return self.centred * factor + self.shift, self.centred_scale * abs(factor) + abs(self.shift)

    def gradients(self, dy: Array) -> tuple[Array, Exact, Exact, Exact, Exact]:
        """dx, which is its own scale, then dscale, dshift, dmean, dvariance (C,)."""
        factor, size = self.scale / self.sigma, abs(dy)
        cubic = self.scale / (2 * self.sigma * self.sigma * self.sigma)
        centred, spread = total(dy * self.centred, 0), total(size * self.centred_scale, 0)
        n = self.count
        return (
            dy * factor,
            Exact(centred / self.sigma, spread / self.sigma, n),
            Exact(total(dy, 0), total(size, 0), n),
            Exact(-total(dy, 0) * factor, total(size, 0) * abs(factor), n),
            Exact(-centred * cubic, spread * abs(cubic), n),
        )


def batch_norm_inference(
    x: Any, scale: Any, shift: Any, mean: Any, variance: Any, *, eps: float = 1e-5
) -> tuple[Exact, ...]:
    """y = scale (x - mean) / sqrt(variance + eps) + shift."""
    y, y_scale = Given(_per_channel(exact(x)), scale, shift, mean, variance, eps).output()
    return (Exact(y.reshape(np.shape(x)), y_scale.reshape(np.shape(x)), 3),)


def batch_norm_inference_vjp(
    x: Any, scale: Any, shift: Any, mean: Any, variance: Any, dy: Any, *, eps: float = 1e-5
) -> tuple[Exact, ...]:
    """dx, dscale, dshift, dmean, dvariance."""
    given = Given(_per_channel(exact(x)), scale, shift, mean, variance, eps)
    dx, *channels = given.gradients(_per_channel(exact(dy)))
    dx = dx.reshape(np.shape(x))
    return (Exact(dx, abs(dx), 1), *channels)
