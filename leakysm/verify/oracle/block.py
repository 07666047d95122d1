"""The convolution block, max_pool2d(relu(batch_norm(conv2d(x, w)))), in 50-digit arithmetic, with its discrete choices.

Which position of a window feeds the output (`route`: 0 to 3 in row-major order, -1 where ReLU cut it off) is decided
exactly here. A computation that knows the normalised values only within their bound may decide otherwise where two are
closer than that; `open_routes` lists every such decision, and a gradient is right if it is right for one of them.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact
from leakysm.verify.oracle.convolution import correlate, correlate_dw, correlate_dx, first_maximum, pool_windows, unpool
from leakysm.verify.oracle.normalization import Given, Normalised
from leakysm.verify.precise import ZERO, Array, exact, largest, where

MAX_ROUTES = 64  # combinations of choices; the gradients of a case that leaves open more are not judged


class _Block:
    """What both forms share: the convolution z (n, F) with its noise, and pooling of the normalised values."""

    def __init__(self, x: Any, w: Any):
        self.x, self.w = exact(x), exact(w)
        z, noise = correlate(self.x, self.w), correlate(abs(self.x), abs(self.w))
        self.shape = z.shape
        self.z, self.noise = z.reshape(-1, z.shape[-1]), noise.reshape(-1, z.shape[-1])

    scale: Array  # of the normalisation, (F,)

    def pooled(self, normalised: Array, scale: Array) -> tuple[Array, Array, Any]:
        """The block's output, its scale (the largest of the window's), and the exact route."""
        windows = pool_windows(normalised.reshape(self.shape))
        first = first_maximum(windows)
        top = np.take_along_axis(windows, first[..., None], -1)[..., 0]
        alive = np.asarray(top > 0, dtype=bool)
        return where(alive, top, ZERO), largest(pool_windows(scale.reshape(self.shape)), -1), np.where(alive, first, -1)

    def routed(self, dy: Any, route: Any) -> Array:
        """dy at the normalised values, (n, F)."""
        return unpool(exact(dy), route, self.shape).reshape(self.z.shape)

    def through_convolution(self, dz: Array, dz_scale: Array, terms: int, reach: Array | None) -> tuple[Exact, Exact]:
        """dx and dw from the gradient at the convolution's output."""
        dz, dz_scale = dz.reshape(self.shape), dz_scale.reshape(self.shape)
        everything = None if reach is None else largest(reach, 0)
        shared = [None if everything is None else everything + 0 * a for a in (abs(self.x), abs(self.w))]
        return (
            Exact(
                correlate_dx(self.w, dz), correlate_dx(abs(self.w), dz_scale), 9 * self.w.shape[-1] + terms, shared[0]
            ),
            Exact(correlate_dw(self.x, dz), correlate_dw(abs(self.x), dz_scale), terms, shared[1]),
        )

    def open_routes(self, normalised: Array, scale: Array, tolerance: float, floor: float) -> list[Any]:
        """Every route that values known to tolerance * scale allow, the exact one first; none if they are too many.

        A channel of scale 0 leaves nothing open: all values equal the shift, exactly, and the first position counts.
        """
        windows = pool_windows(normalised.reshape(self.shape))
        doubt = tolerance * pool_windows(scale.reshape(self.shape)) + floor
        _, _, route = self.pooled(normalised, scale)
        low = np.maximum.reduce(windows - doubt, axis=-1, initial=-exact(np.inf)[()])
        possible = np.asarray(windows + doubt >= low[..., None], dtype=bool)
        dead = np.asarray(low <= 0, dtype=bool)
        surely_dead = np.asarray(largest(windows + doubt, -1) <= 0, dtype=bool)
        possible &= ~surely_dead[..., None] & np.asarray(windows + doubt > 0, dtype=bool)
        settled = np.asarray(self.scale == 0, dtype=bool)
        possible &= ~settled[:, None]
        dead &= ~settled
        outcomes = {
            tuple(at): _outcomes(route[tuple(at)], possible[tuple(at)], dead[tuple(at)])
            for at in np.argwhere(possible.sum(-1) + dead > 1)
        }
        if np.prod([len(o) for o in outcomes.values()], dtype=float) > MAX_ROUTES:
            return []
        return [_replaced(route, outcomes, chosen) for chosen in itertools.product(*outcomes.values())]


def _outcomes(first: int, possible: Any, dead: bool) -> list[int]:
    others = {int(p) for p in np.flatnonzero(possible)} | ({-1} if dead else set())
    return [int(first), *sorted(others - {int(first)})]


def _replaced(route: Any, outcomes: dict[tuple[int, ...], list[int]], chosen: tuple[int, ...]) -> Any:
    other = route.copy()
    for at, value in zip(outcomes, chosen, strict=True):
        other[at] = value
    return other


class Training(_Block):
    """The block with the batch's statistics.

    value: y (N, H // 2, W // 2, F), mean (F,), biased variance (F,) of the convolution's output. vjp: dx, dw, dscale,
    dshift.
    """

    def __init__(self, x: Any, w: Any, scale: Any, shift: Any, *, eps: float = 1e-5):
        super().__init__(x, w)
        self.batch = Normalised(self.z, eps, self.noise)
        self.scale = exact(scale)
        self.normalised, self.normalised_scale = self.batch.output(self.scale, exact(shift))

    def value(self) -> tuple[Exact, ...]:
        y, y_scale, _ = self.pooled(self.normalised, self.normalised_scale)
        reach = np.broadcast_to(self.batch.reach, y.shape)
        terms = 9 * self.w.shape[2] + 4
        mean, variance = self.batch.statistics()
        return Exact(y, y_scale, terms, reach), mean, variance

    def vjp(self, dy: Any, route: Any = None) -> tuple[Exact, ...]:
        route = self.pooled(self.normalised, self.normalised_scale)[2] if route is None else route
        dz, dz_scale, dscale, dshift = self.batch.gradients(self.scale, self.routed(dy, route))
        return (*self.through_convolution(dz, dz_scale, self.batch.count + 4, self.batch.reach), dscale, dshift)


class Inference(_Block):
    """The block with given statistics.

    value: y (N, H // 2, W // 2, F). vjp: dx, dw, dscale, dshift, dmean, dvariance.
    """

    def __init__(self, x: Any, w: Any, scale: Any, shift: Any, mean: Any, variance: Any, *, eps: float = 1e-5):
        super().__init__(x, w)
        self.given = Given(self.z, scale, shift, mean, variance, eps, self.noise)
        self.scale = self.given.scale
        self.normalised, self.normalised_scale = self.given.output()

    def value(self) -> tuple[Exact, ...]:
        y, y_scale, _ = self.pooled(self.normalised, self.normalised_scale)
        return (Exact(y, y_scale, 9 * self.w.shape[2] + 3),)

    def vjp(self, dy: Any, route: Any = None) -> tuple[Exact, ...]:
        route = self.pooled(self.normalised, self.normalised_scale)[2] if route is None else route
        dz, *channels = self.given.gradients(self.routed(dy, route))
        return (*self.through_convolution(dz, abs(dz), self.given.count, None), *channels)


def open_routes(block: Training | Inference, tolerance: float, floor: float) -> list[Any]:
    """The routes that a computation may take which knows the normalised values to tolerance * scale + floor.

    Empty if they are more than MAX_ROUTES.
    """
    return block.open_routes(block.normalised, block.normalised_scale, tolerance, floor)
