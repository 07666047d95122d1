"""The four distances, by the kernels of distances.cu."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from leakysm.backends.checks import check_cotangent
from leakysm.backends.cupy.kernels import SIDE, THREADS, WIDTH, Kernels, ceil_div
from leakysm.backends.protocol import Pair
from leakysm.ops.arrays import Array, require_same_width, working
from leakysm.ops.restricted_squared_euclidean import require_per
from leakysm.ops.restriction import Leak

LARGEST, SMALLEST_NORMAL = float(np.finfo(np.float32).max), float(np.finfo(np.float32).smallest_normal)


class LeakArguments(NamedTuple):
    """What a kernel is told of the restriction, after its other arguments. Not active: squared Euclidean."""

    threshold: float
    slope: float  # times `shrink`: a slope below the smallest normal number would lose its digits
    shrink: float
    active: int

    @classmethod
    def of(cls, leak: Leak) -> LeakArguments:
        """A threshold beyond float32 restricts nothing, nor does slope 1."""
        active = leak.slope != 1 and leak.threshold <= LARGEST
        shrink = 1.0 if leak.slope >= SMALLEST_NORMAL else 2.0**-126
        return cls(float(min(leak.threshold, LARGEST)), float(leak.slope) / shrink, shrink, int(active))


class Saved(NamedTuple):
    """What the gradients need. Rows x (N, D), c (M, D) as the kernel takes them; `extra`: plain, scale and norm (N, M);
    factors: of each row of x and of c, for cosine."""

    kind: str
    x: Array
    c: Array
    extra: tuple[Array | None, Array | None, Array | None]
    factors: tuple[Array | None, Array | None]
    restriction: LeakArguments


def unit_rows(kernels: Kernels, x: Array) -> tuple[Array, Array]:
    """x / |x| (N, D), and 1 / |x| (N,); 0 for zero rows."""
    u, factor = kernels.xp.empty_like(x), kernels.xp.empty(x.shape[0], x.dtype)
    kernels.launch("unit_rows", x.shape[:1], THREADS, x, u, factor, x.shape[1])
    return u, factor


def forward(kernels: Kernels, kind: str, restriction: LeakArguments, x: Array, c: Array) -> tuple[Array, Saved]:
    """Distances of contiguous x (N, D), c (M, D) -> (N, M)."""
    (N, D), M = x.shape, c.shape[0]
    factors: tuple[Array | None, Array | None] = (None, None)
    if kind == "COSINE":
        (x, of_x), (c, of_c) = unit_rows(kernels, x), unit_rows(kernels, c)
        factors = (of_x, of_c)
    needed = {
        "SQUARED": (restriction.active, False, False),
        "EUCLIDEAN": (False, True, True),
        "COSINE": (True, False, False),
    }.get(kind, (False, False, False))
    y, *extra = (kernels.xp.empty((N, M), x.dtype) if need else None for need in (True, *needed))
    plain, scale, norm = extra
    grid = (ceil_div(N, SIDE), ceil_div(M, SIDE))
    kernels.launch(f"distances<{kind}>", grid, THREADS, x, c, y, plain, scale, norm, N, M, D, *restriction)
    return y, Saved(kind, x, c, (plain, scale, norm), factors, restriction)


def backward(kernels: Kernels, saved: Saved, dy: Array, dx: Array, dc: Array) -> None:
    """Fill dx (N, D) and dc (M, D), for contiguous dy (N, M): one kernel, the second time with x and c exchanged."""
    D, M = saved.x.shape[1], saved.c.shape[0]
    name = f"distances_gradient<{saved.kind}>"
    for own, other, factor, out, stride_own, stride_other in (
        (saved.x, saved.c, saved.factors[0], dx, M, 1),
        (saved.c, saved.x, saved.factors[1], dc, 1, M),
    ):
        grid = (own.shape[0], ceil_div(D, WIDTH))
        sizes = (other.shape[0], D, stride_own, stride_other)
        kernels.launch(name, grid, THREADS, own, other, dy, *saved.extra, factor, out, *sizes, *saved.restriction)


def kind_of(operation: str, **parameters: Any) -> tuple[str, LeakArguments]:
    """The kernels' kind and the restriction of a registered distance with its parameters. UserError for bad ones."""
    if operation == "leaky_squared_euclidean":
        return leaky_kind(**parameters)
    if parameters:
        raise TypeError(f"{operation} takes no {next(iter(parameters))}")
    return PLAIN_KINDS[operation], LeakArguments.of(Leak(math.inf, 1.0))


def leaky_kind(*, threshold: float, slope: float, per: str = "pair") -> tuple[str, LeakArguments]:
    """Kind and restriction of leaky squared Euclidean; if it restricts nothing, those of squared Euclidean."""
    require_per(per)
    restriction = LeakArguments.of(Leak(threshold, slope))
    return ("COORDINATE" if per == "coordinate" and restriction.active else "SQUARED"), restriction


def distance_forward(kernels: Kernels, operation: str, x: Array, c: Array, **parameters: Any) -> tuple[Array, Saved]:
    """Distances of one registered operation, (N, M), and what its gradient needs."""
    kind, restriction = kind_of(operation, **parameters)
    working(x=x, c=c)
    require_same_width(x, c)
    return forward(kernels, kind, restriction, *kernels.contiguous(x, c))


def distance_backward(kernels: Kernels, saved: Saved, dy: Array) -> tuple[Array, Array]:
    """dx (N, D) and dc (M, D) of `distance_forward`."""
    check_cotangent(dy, saved.x, (saved.x.shape[0], saved.c.shape[0]))
    (dy,) = kernels.contiguous(dy)
    dx, dc = kernels.xp.empty_like(saved.x), kernels.xp.empty_like(saved.c)
    backward(kernels, saved, dy, dx, dc)
    return dx, dc


PLAIN_KINDS = {"squared_euclidean": "SQUARED", "euclidean": "EUCLIDEAN", "cosine_distance": "COSINE"}
OPERATIONS = (*PLAIN_KINDS, "leaky_squared_euclidean")


def distance_pairs(kernels: Kernels) -> dict[str, Pair]:
    """The pairs of this file, by operation, for float32."""
    backward = partial(distance_backward, kernels)
    return {name: Pair(partial(distance_forward, kernels, name), backward) for name in OPERATIONS}
