"""Prototypes: the mean of a class's support embeddings.

    c_m = (1 / n_m) sum over i in class m of z_i        dz_i = dc_m / n_m, m the class of i

Source: Snell et al. (2017), equation 1. Shots may differ between classes; every class has at least one.
"""

from __future__ import annotations

from typing import Any, NoReturn

from leakysm.errors import UserError
from leakysm.ops.arrays import (
    Array,
    class_count,
    integer_labels,
    one_hot,
    quiet,
    require_shape,
    tree_sum,
    working,
    zeros,
)
from leakysm.ops.registry import Argument, Operation, register


def refuse_empty(m: int, n_classes: int) -> NoReturn:
    """The UserError of class m, which has no shot."""
    raise UserError(f"class {m} of {n_classes} has no shot; at least 1 is expected: give it an example")


def _shots(xp: Any, z: Array, labels: Any, n_classes: int) -> tuple[Array, Array]:
    """Checked labels (N,), and the number of shots of each class (M, 1) in z's dtype; UserError for an empty class."""
    require_shape("z", z, ("N", "D"))
    labels = integer_labels(xp, labels, z, z.shape[0], n_classes)
    if n_classes > z.shape[0]:  # looked at first, since a wrong label may name any number of classes
        present = {int(labels[i]) for i in range(z.shape[0])}
        refuse_empty(next(m for m in range(n_classes) if m not in present), n_classes)
    shots = xp.sum(xp.astype(one_hot(xp, labels, n_classes), z.dtype), axis=0)
    if n_classes and float(xp.min(shots)) == 0:
        refuse_empty(int(xp.argmin(shots)), n_classes)
    return labels, shots[:, None]


@quiet
def prototypes(z: Array, labels: Array, n_classes: int) -> Array:
    """Class means. z (N, D) float, labels (N,) integers in [0, n_classes) -> (n_classes, D).

    UserError (a ValueError) for a label outside, and for a class without a shot.
    """
    n_classes = class_count(n_classes)
    xp, (z,), finish = working(z=z)
    labels, shots = _shots(xp, z, labels, n_classes)
    if n_classes == 0:
        return finish(zeros(xp, (0, z.shape[1]), z))
    # Divided before the sum, so that the mean of large values does not overflow.
    means = [
        tree_sum(xp, xp.where((labels == m)[:, None], z / shots[m, :], xp.zeros_like(z)), axis=0)
        for m in range(n_classes)
    ]
    return finish(xp.stack(means))


@quiet
def prototypes_vjp(z: Array, labels: Array, n_classes: int, dy: Array) -> Array:
    """Gradient of `prototypes`. dy (n_classes, D) -> dz (N, D)."""
    n_classes = class_count(n_classes)
    xp, (z, dy), finish = working(z=z, dy=dy)
    labels, shots = _shots(xp, z, labels, n_classes)
    require_shape("dy", dy, (n_classes, z.shape[1]))
    if z.shape[0] == 0:
        return finish(z)
    return finish(xp.take(dy / shots, labels, axis=0))


register(
    Operation(
        "prototypes",
        prototypes,
        prototypes_vjp,
        (Argument("z"), Argument("labels", "labels"), Argument("n_classes", "count")),
        "z (N, D), finite; labels (N,) in [0, n_classes), every class at least once",
    )
)
