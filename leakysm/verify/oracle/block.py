"""The convolution block, max_pool2d(relu(batch_norm(conv2d(x, w)))), in 50-digit arithmetic, with its discrete choices.

Which position of a window feeds the output (`route`: 0 to 3 in row-major order, -1 where ReLU cut it off) is decided
exactly here. A computation that knows the normalised values only within their bound may decide otherwise where two are
closer than that, in each window for itself; `open_gradients` works out which gradients are then right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact
from leakysm.verify.oracle.choices import Doubt, OpenGradient, spanned
from leakysm.verify.oracle.convolution import (
    correlate,
    correlate_dw,
    correlate_dw_magnitudes,
    correlate_dx,
    correlate_dx_magnitudes,
    correlate_magnitudes,
    first_maximum,
    pool_windows,
    unpool,
)
from leakysm.verify.oracle.normalization import BatchStatistics, GivenStatistics, per_channel
from leakysm.verify.precise import ZERO, Array, Magnitude, exact, largest, magnitude, where

MOST_OPTIONS = 200  # a gradient on which more options are open is not judged: each costs a backward pass


class Block:
    """The block, for either kind of statistics: the convolution z (n, F) with its noise, and pooling.

    Subclasses set `normalised` (n, F), its scale and its underflow. scale (F,) is that of the normalisation.
    """

    scale: Array
    normalised: tuple[Array, Magnitude, Magnitude]

    def __init__(self, x: Any, w: Any):
        self.x, self.w, self.x_magnitude, self.w_magnitude = x, w, magnitude(x), magnitude(w)
        z = exact(correlate(x, w))
        self.shape = z.shape
        self.z, self.noise = per_channel(z), per_channel(correlate_magnitudes(self.x_magnitude, self.w_magnitude))
        self.terms = 9 * max(x.shape[-1], 1)

    def _windows(self) -> tuple[Array, Magnitude, Magnitude]:
        """The normalised values, their scales and underflow as pooling windows (N, H // 2, W // 2, F, 4)."""
        value, scale, under = (pool_windows(part.reshape(self.shape)) for part in self.normalised)
        return value, scale, under

    def pooled(self) -> tuple[Exact, Any]:
        """The block's output, its scale (the largest of the window's), and the exact route."""
        windows, scale, under = self._windows()
        first = first_maximum(windows)
        top = np.take_along_axis(windows, first[..., None], -1)[..., 0]
        alive = np.asarray(top > 0, dtype=bool)
        y = Exact.of(where(alive, top, ZERO), largest(scale, -1), largest(under, -1))
        return y, np.where(alive, first, -1)

    def routed(self, dy: Any, route: Any) -> Array:
        """dy at the normalised values, (n, F)."""
        return unpool(exact(dy), route, self.shape).reshape(self.z.shape)

    def backward(self, dn: Array) -> tuple[Exact, ...]:
        """The gradients from dn (n, F), the gradient at the normalised values. Linear in dn."""
        raise NotImplementedError

    def vjp(self, dy: Any) -> tuple[Exact, ...]:
        return self.backward(self.routed(dy, self.pooled()[1]))

    def through_convolution(self, dz: tuple[Array, Magnitude, Magnitude]) -> tuple[Exact, Exact]:
        """dx and dw from the gradient at the convolution's output, its scale and underflow."""
        value, scale, under = (part.reshape(self.shape) for part in dz)
        terms = 9.0 * max(self.w.shape[-1], 1), float(max(len(self.z), 1))
        w, x = self.w_magnitude, self.x_magnitude
        dx_scale, dx_under = correlate_dx_magnitudes(w, scale), terms[0] + correlate_dx_magnitudes(w, under)
        dw_scale, dw_under = correlate_dw_magnitudes(x, scale), terms[1] + correlate_dw_magnitudes(x, under)
        return (
            Exact.of(correlate_dx(self.w, value), dx_scale, dx_under),
            Exact.of(correlate_dw(self.x, value), dw_scale, dw_under),
        )

    def open_windows(self, doubt: Doubt) -> dict[tuple[int, ...], list[int]]:
        """The windows with several options, the exact one first, for values that are known to this doubt.

        A channel of scale 0 leaves nothing open: all values equal the shift, exactly, and the first position counts.
        """
        # Each value of a window lies between lowest and highest. The window's maximum is at least `floor`, the largest
        # of the lowest: a position can be the maximum if its highest reaches the floor, and ReLU lets it pass if its
        # highest is above 0. ReLU can cut the window off if the floor is not above 0.
        windows, scale, under = self._windows()
        doubtful = doubt.of(scale, under)
        lowest, highest = windows - doubtful, windows + doubtful
        floor = np.maximum.reduce(lowest, axis=-1, initial=-exact(np.inf)[()])
        decided = np.asarray(self.scale == 0, dtype=bool)
        can_win = np.asarray((highest >= floor[..., None]) & (highest > 0), dtype=bool) & ~decided[:, None]
        can_be_cut = np.asarray(floor <= 0, dtype=bool) & ~decided
        _, route = self.pooled()
        return {
            tuple(at): _options(route[tuple(at)], can_win[tuple(at)], can_be_cut[tuple(at)])
            for at in np.argwhere(can_win.sum(-1) + can_be_cut > 1)
        }


def _options(first: int, can_win: Any, can_be_cut: bool) -> list[int]:
    """The exact route first, then the other positions that can win, and -1 if ReLU can cut the window off."""
    others = {int(position) for position in np.flatnonzero(can_win)} | ({-1} if can_be_cut else set())
    return [int(first), *sorted(others - {int(first)})]


class TrainingBlock(Block):
    """The block with the batch's statistics.

    value: y (N, H // 2, W // 2, F), mean (F,), biased variance (F,) of the convolution's output. vjp: dx, dw, dscale,
    dshift.
    """

    def __init__(self, x: Any, w: Any, scale: Any, shift: Any, *, eps: float = 1e-5):
        super().__init__(x, w)
        self.batch = BatchStatistics(self.z, eps, self.noise, self.terms)
        self.scale = exact(scale)
        value, scale_of, under = self.batch.output(self.scale, exact(shift))
        # What underflow may cost z comes through the normalisation twice at most.
        self.normalised = value, scale_of, under + 2 * self.terms * magnitude(self.scale) / self.batch.deviation

    def value(self) -> tuple[Exact, ...]:
        mean, variance = self.batch.statistics()
        return (self.pooled()[0], mean, variance)

    def backward(self, dn: Array) -> tuple[Exact, ...]:
        dz, dscale, dshift = self.batch.gradients(self.scale, dn)
        return (*self.through_convolution(dz), dscale, dshift)


class InferenceBlock(Block):
    """The block with given statistics.

    value: y (N, H // 2, W // 2, F). vjp: dx, dw, dscale, dshift, dmean, dvariance.
    """

    def __init__(self, x: Any, w: Any, scale: Any, shift: Any, mean: Any, variance: Any, *, eps: float = 1e-5):
        super().__init__(x, w)
        self.given = GivenStatistics(self.z, scale, shift, mean, variance, eps, self.noise)
        self.scale = self.given.scale
        value, scale_of, under = self.given.output()
        self.normalised = value, scale_of, under + self.terms * magnitude(self.scale) / self.given.deviation

    def value(self) -> tuple[Exact, ...]:
        return (self.pooled()[0],)

    def backward(self, dn: Array) -> tuple[Exact, ...]:
        dz, *channels = self.given.gradients(dn)
        return (*self.through_convolution(dz), *channels)


def open_gradients(block: Block, dy: Any, doubt: Doubt) -> tuple[OpenGradient | None, ...] | None:
    """What open windows allow each gradient to be; all None if no window is open; None if too many are."""
    windows = block.open_windows(doubt)
    base = block.vjp(dy)
    if sum(len(options) - 1 for options in windows.values()) > MOST_OPTIONS:
        return None
    changes = [_changes(block, exact(dy), at, options) for at, options in windows.items()]
    if not changes:
        return (None,) * len(base)
    groups = ([np.stack([change[i] for change in window]) for window in changes] for i in range(len(base)))
    return tuple(spanned(exact(truth.value), truth.scale, group) for truth, group in zip(base, groups, strict=True))


def _changes(block: Block, dy: Array, at: tuple[int, ...], options: list[int]) -> list[list[Array]]:
    """How each option of a window changes the gradients: the backward pass of the change that it makes."""
    alone = np.full(dy.shape, ZERO, dtype=object)
    alone[at] = dy[at]
    first = block.routed(alone, np.full(dy.shape, options[0]))
    moved = [block.routed(alone, np.full(dy.shape, option)) - first for option in options]
    return [[exact(gradient.value) for gradient in block.backward(change)] for change in moved]
