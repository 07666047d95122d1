"""The pairs of the four distances, by the kernels of distances.cu."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from leakysm.backends.checks import check_cotangent
from leakysm.backends.cupy.convolution import ceil_div, contiguous
from leakysm.backends.cupy.kernels import Kernels
from leakysm.backends.protocol import Pair
from leakysm.ops.arrays import Array, require_same_width, working
from leakysm.ops.leaky_squared_euclidean import require_per
from leakysm.ops.restriction import Leak

THREADS, SIDE, WIDTH = 256, 8, 32  # as in distances.cu


class Restriction(NamedTuple):
    """What a kernel is told of the restriction, after its other arguments."""

    threshold: Any
    slope: Any
    active: int

    @classmethod
    def of(cls, leak: Leak, dtype: Any) -> Restriction:
        """Not active: squared Euclidean, bit for bit; the same rule as the reference's."""
        largest = float(np.finfo(dtype).max)
        active = leak.slope != 1 and leak.threshold <= largest
        return cls(dtype.type(min(leak.threshold, largest)), dtype.type(leak.slope), int(active))


class Saved(NamedTuple):
    """What the gradients need. Rows x (N, D), c (M, D) as the kernel takes them; `extra`: plain, scale and norm (N, M);
    factors: of each row of x and of c, for cosine."""

    kind: str
    x: Array
    c: Array
    extra: tuple[Array | None, Array | None, Array | None]
    factors: tuple[Array | None, Array | None]
    restriction: Restriction


def unit_rows(kernels: Kernels, x: Array) -> tuple[Array, Array]:
    """x / |x| (N, D), and 1 / |x| (N,); 0 for zero rows."""
    u, factor = kernels.xp.empty_like(x), kernels.xp.empty(x.shape[0], x.dtype)
    kernels.launch(f"unit_rows<{kernels.c_type(x)}>", x.shape[:1], THREADS, x, u, factor, x.shape[1])
    return u, factor


def forward(kernels: Kernels, kind: str, leak: Leak, x: Array, c: Array) -> tuple[Array, Saved]:
    """Distances of contiguous x (N, D), c (M, D) -> (N, M)."""
    (N, D), M = x.shape, c.shape[0]
    restriction = Restriction.of(leak, x.dtype)
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
    name = f"distances<{kernels.c_type(x)}, {kind}>"
    grid = (ceil_div(N, SIDE), ceil_div(M, SIDE))
    kernels.launch(name, grid, THREADS, x, c, y, plain, scale, norm, N, M, D, *restriction)
    return y, Saved(kind, x, c, (plain, scale, norm), factors, restriction)


def backward(kernels: Kernels, saved: Saved, dy: Array, dx: Array, dc: Array) -> None:
    """Into dx (N, D) and dc (M, D), of contiguous dy (N, M): the same kernel with the roles exchanged."""
    D, M = saved.x.shape[1], saved.c.shape[0]
    name = f"distances_gradient<{kernels.c_type(dy)}, {saved.kind}>"
    for own, other, factor, out, stride_own, stride_other in (
        (saved.x, saved.c, saved.factors[0], dx, M, 1),
        (saved.c, saved.x, saved.factors[1], dc, 1, M),
    ):
        grid = (own.shape[0], ceil_div(D, WIDTH))
        sizes = (other.shape[0], D, stride_own, stride_other)
        kernels.launch(name, grid, THREADS, own, other, dy, *saved.extra, factor, out, *sizes, *saved.restriction)


def distance_pair(kernels: Kernels, operation: str) -> Pair:
    """The pair of one operation; leaky parameters where it has them."""
    xp = kernels.xp

    def run(x: Array, c: Array, **parameters: Any) -> tuple[Array, Saved]:
        kind, leak = kind_of(operation, **parameters)
        working(x=x, c=c)
        require_same_width(x, c)
        x, c = contiguous(xp, x, c)
        return forward(kernels, kind, leak, x, c)

    def back(saved: Saved, dy: Array) -> tuple[Array, Array]:
        check_cotangent(dy, saved.x, (saved.x.shape[0], saved.c.shape[0]))
        (dy,) = contiguous(xp, dy)
        dx, dc = xp.empty_like(saved.x), xp.empty_like(saved.c)
        backward(kernels, saved, dy, dx, dc)
        return dx, dc

    return Pair(run, back)


def kind_of(operation: str, **parameters: Any) -> tuple[str, Leak]:
    """The kernels' kind and the restriction of a registered distance with its parameters. UserError for bad ones."""
    if operation == "leaky_squared_euclidean":
        return leaky_kind(**parameters)
    if parameters:
        raise TypeError(f"{operation} takes no {next(iter(parameters))}")
    return KINDS[operation], Leak(math.inf, 1.0)


def leaky_kind(*, threshold: float, slope: float, per: str = "pair") -> tuple[str, Leak]:
    require_per(per)
    return ("COORDINATE" if per == "coordinate" else "SQUARED"), Leak(threshold, slope)


KINDS = {"squared_euclidean": "SQUARED", "euclidean": "EUCLIDEAN", "cosine_distance": "COSINE"}
OPERATIONS = (*KINDS, "leaky_squared_euclidean")


def distance_pairs(kernels: Kernels) -> dict[str, Pair]:
    """The pairs of this file, by operation."""
    return {name: distance_pair(kernels, name) for name in OPERATIONS}
