"""Prototypes and cross-entropy, by the kernels of loss.cu. No kernel sees labels unchecked."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import array_api_compat

from leakysm.backends.checks import check_cotangent
from leakysm.backends.cupy.kernels import ROW_FIGURES, THREADS, Kernels, ceil_div
from leakysm.backends.protocol import Pair
from leakysm.ops.arrays import Array, class_count, integer_labels, require_shape, working
from leakysm.ops.prototypes import refuse_empty


class Prototypes(NamedTuple):
    """Centres (M, D), and what their gradient needs: int64 labels (S,), and how many shots each class has (M,)."""

    centres: Array
    labels: Array
    shots: Array


def prototypes(kernels: Kernels, z: Array, labels: Array, n_classes: int) -> Prototypes:
    """The class means of contiguous z (S, D); labels are valid int64."""
    S, D = z.shape
    centres, shots = kernels.xp.empty((n_classes, D), z.dtype), kernels.xp.empty(n_classes, z.dtype)
    grid = (max(1, ceil_div(D, THREADS)), n_classes)
    kernels.launch("prototypes", grid, THREADS, z, labels, centres, shots, S, D)
    return Prototypes(centres, labels, shots)


def prototypes_gradient(kernels: Kernels, saved: Prototypes, dcentres: Array, dz: Array) -> None:
    """Fill dz (S, D); both contiguous."""
    grid = (ceil_div(dz.size, THREADS),)
    kernels.launch("prototypes_gradient", grid, THREADS, dcentres, saved.labels, saved.shots, dz, *dz.shape)


def cross_entropy(
    kernels: Kernels,
    values: Array,
    labels: Array,
    *,
    sign: int = 1,
    dy: Array | None = None,
    figures: Array | None = None,
    gradient: Array | None = None,
    vanished: float = 0.0,
) -> None:
    """Fill figures (ROW_FIGURES, N), the first of which is each row's part of the loss, and gradient (N, M).

    Logits: sign times contiguous values (N, M); labels int64 (N,), checked; the gradient is dy () times the loss's.
    Of the figures, VANISHED counts probabilities, at the label their complement, below `vanished`.
    """
    N, M = values.shape
    numbers = (float(sign), float(vanished))
    kernels.launch("cross_entropy", (N,), THREADS, values, labels, dy, figures, gradient, N, M, *numbers)


def total(kernels: Kernels, values: Array) -> Array:
    """The sum of a contiguous vector, ()."""
    result = kernels.xp.empty((), values.dtype)
    kernels.launch("total", (1,), THREADS, values, result, values.size)
    return result


class Logits(NamedTuple):
    """What cross-entropy's backward pass needs: logits (N, M) and int64 labels (N,)."""

    logits: Array
    labels: Array


def prototypes_forward(kernels: Kernels, z: Array, labels: Any, n_classes: int) -> tuple[Array, Prototypes]:
    """The class means (n_classes, D) of z (S, D), and what their gradient needs."""
    n_classes = class_count(n_classes)
    working(z=z)
    require_shape("z", z, ("N", "D"))
    xp = kernels.xp
    labels = integer_labels(array_api_compat.array_namespace(z), labels, z, z.shape[0], n_classes)
    z, labels = kernels.contiguous(z, labels.astype(xp.int64))
    saved = prototypes(kernels, z, labels, n_classes)
    if n_classes and float(saved.shots.min()) == 0:
        refuse_empty(int(saved.shots.argmin()), n_classes)
    return saved.centres, saved


def prototypes_backward(kernels: Kernels, saved: Prototypes, dy: Array) -> Array:
    """dz (S, D) of `prototypes_forward`."""
    check_cotangent(dy, saved.centres, saved.centres.shape)
    dz = kernels.xp.empty((saved.labels.size, dy.shape[1]), dy.dtype)
    (dy,) = kernels.contiguous(dy)
    prototypes_gradient(kernels, saved, dy, dz)
    return dz


def cross_entropy_forward(kernels: Kernels, logits: Array, labels: Any) -> tuple[Array, Logits]:
    """The mean loss () of logits (N, M), and what its gradient needs."""
    working(logits=logits)
    require_shape("logits", logits, ("N", "M"))
    (N, M), xp = logits.shape, kernels.xp
    labels = integer_labels(array_api_compat.array_namespace(logits), labels, logits, N, M)
    saved = Logits(*kernels.contiguous(logits, labels.astype(xp.int64)))
    figures = xp.empty((len(ROW_FIGURES), N), logits.dtype)
    cross_entropy(kernels, *saved, figures=figures)
    return total(kernels, figures[0]), saved


def cross_entropy_backward(kernels: Kernels, saved: Logits, dy: Any = 1.0) -> Array:
    """dlogits (N, M) of `cross_entropy_forward`."""
    if array_api_compat.is_array_api_obj(dy):
        check_cotangent(dy, saved.logits, ())
    gradient = kernels.xp.empty_like(saved.logits)
    dy = kernels.xp.asarray(dy, dtype=saved.logits.dtype)
    cross_entropy(kernels, *saved, dy=dy, gradient=gradient)
    return gradient


def loss_pairs(kernels: Kernels) -> dict[str, Pair]:
    """The pairs of this file, by operation, for float32."""
    return {
        "prototypes": Pair(partial(prototypes_forward, kernels), partial(prototypes_backward, kernels)),
        "cross_entropy": Pair(partial(cross_entropy_forward, kernels), partial(cross_entropy_backward, kernels)),
    }
