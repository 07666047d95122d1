"""The pairs of prototypes and cross-entropy, by the kernels of loss.cu. No kernel sees labels unchecked."""

from __future__ import annotations

from typing import Any, NamedTuple

import array_api_compat

from leakysm.backends.checks import check_cotangent
from leakysm.backends.cupy.convolution import ceil_div, contiguous
from leakysm.backends.cupy.kernels import Kernels
from leakysm.backends.protocol import Pair
from leakysm.ops.arrays import Array, class_count, integer_labels, require_shape, working
from leakysm.ops.prototypes import refuse_empty

THREADS = 256  # as in sums.cuh
FIGURES = 5  # of a row, as in loss.cu


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
    kernels.launch(f"prototypes<{kernels.c_type(z)}>", grid, THREADS, z, labels, centres, shots, S, D)
    return Prototypes(centres, labels, shots)


def prototypes_gradient(kernels: Kernels, found: Prototypes, dcentres: Array, dz: Array) -> None:
    """Into dz (S, D), both contiguous."""
    grid = (ceil_div(dz.size, THREADS),)
    name = f"prototypes_gradient<{kernels.c_type(dz)}>"
    kernels.launch(name, grid, THREADS, dcentres, found.labels, found.shots, dz, *dz.shape)


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
    """Into figures (5, N), the first row being each row's part of the loss, and into gradient (N, M).

    Logits: sign times contiguous values (N, M); labels int64 (N,), checked; the gradient is dy () times the loss's.
    """
    N, M = values.shape
    t = values.dtype.type
    name = f"cross_entropy<{kernels.c_type(values)}>"
    kernels.launch(name, (N,), THREADS, values, labels, dy, figures, gradient, N, M, t(sign), t(vanished))


def total(kernels: Kernels, values: Array) -> Array:
    """The sum of a contiguous vector, ()."""
    result = kernels.xp.empty((), values.dtype)
    kernels.launch(f"total<{kernels.c_type(values)}>", (1,), THREADS, values, result, values.size)
    return result


def summarise(kernels: Kernels, figures: Array, dquery: Array, record: Array, M: int, faint: float) -> None:
    """Into record (7 or more,): loss, accuracy, and the five figures of early-gradient sparsity.

    figures (5, N): of `cross_entropy` on N x M distances; dquery (N, D): the mean loss's gradient, contiguous.
    """
    N, D = dquery.shape
    c, t = kernels.c_type(dquery), dquery.dtype.type
    lengths = kernels.xp.empty(N, dquery.dtype)
    kernels.launch(f"row_lengths<{c}>", (N,), THREADS, dquery, lengths, D, t(N))
    kernels.launch(f"summarise<{c}>", (1,), THREADS, figures, lengths, record, N, M, t(faint))


def prototypes_pair(kernels: Kernels) -> Pair:
    xp = kernels.xp

    def forward(z: Array, labels: Any, n_classes: int) -> tuple[Array, Prototypes]:
        n_classes = class_count(n_classes)
        working(z=z)
        require_shape("z", z, ("N", "D"))
        labels = integer_labels(array_api_compat.array_namespace(z), labels, z, z.shape[0], n_classes)
        z, labels = contiguous(xp, z, labels.astype(xp.int64))
        found = prototypes(kernels, z, labels, n_classes)
        if n_classes and float(found.shots.min()) == 0:
            refuse_empty(int(found.shots.argmin()), n_classes)
        return found.centres, found

    def backward(found: Prototypes, dy: Array) -> Array:
        check_cotangent(dy, found.centres, found.centres.shape)
        dz = xp.empty((found.labels.size, dy.shape[1]), dy.dtype)
        prototypes_gradient(kernels, found, contiguous(xp, dy)[0], dz)
        return dz

    return Pair(forward, backward)


def cross_entropy_pair(kernels: Kernels) -> Pair:
    xp = kernels.xp

    def forward(logits: Array, labels: Any) -> tuple[Array, tuple[Array, Array]]:
        working(logits=logits)
        require_shape("logits", logits, ("N", "M"))
        N, M = logits.shape
        labels = integer_labels(array_api_compat.array_namespace(logits), labels, logits, N, M)
        logits, labels = contiguous(xp, logits, labels.astype(xp.int64))
        figures = xp.empty((FIGURES, N), logits.dtype)
        cross_entropy(kernels, logits, labels, figures=figures)
        return total(kernels, figures[0]), (logits, labels)

    def backward(saved: tuple[Array, Array], dy: Any = 1.0) -> Array:
        logits, labels = saved
        if array_api_compat.is_array_api_obj(dy):
            check_cotangent(dy, logits, ())
        gradient = xp.empty_like(logits)
        cross_entropy(kernels, logits, labels, dy=xp.asarray(dy, dtype=logits.dtype), gradient=gradient)
        return gradient

    return Pair(forward, backward)


def loss_pairs(kernels: Kernels) -> dict[str, Pair]:
    """The pairs of this file, by operation."""
    return {"prototypes": prototypes_pair(kernels), "cross_entropy": cross_entropy_pair(kernels)}
