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
    known,
    one_hot,
    quiet,
    require_shape,
    tree_sum,
    whole,
    working,
)
from leakysm.ops.pairs import TILE, spans
from leakysm.ops.registry import Argument, Operation, register


def refuse_empty(m: int, n_classes: int) -> NoReturn:
    """Raise the UserError for class m, which has no shot."""
    raise UserError(f"class {m} of {n_classes} has no example; at least 1 is expected: give it one")


def _shots(xp: Any, z: Array, given: Any, n_classes: int) -> tuple[Array, Array]:
    """Checked labels (N,), and the number of shots of each class (M, 1) in z's dtype; UserError for an empty class."""
    require_shape("z", z, ("N", "D"))
    labels = integer_labels(xp, given, z, z.shape[0], n_classes)
    if n_classes > z.shape[0]:  # checked first: a wrong label could ask for any number of classes
        present = {whole(labels[i]) for i in range(z.shape[0])}
        if None in present:
            raise UserError(f"{n_classes} classes have {z.shape[0]} shots; at least 1 each is expected")
        refuse_empty(next(m for m in range(n_classes) if m not in present), n_classes)
    shots = xp.sum(xp.astype(one_hot(xp, labels, n_classes), z.dtype), axis=0)
    if n_classes and (empty := _empty_class(xp, shots, given)) is not None:
        refuse_empty(empty, n_classes)
    return labels, shots[:, None]


def _empty_class(xp: Any, shots: Array, labels: Any) -> int | None:
    """A class without a shot; None if there is none, or if a compiler traces and the labels are not known."""
    fewest = whole(xp.min(shots))
    if fewest is not None:
        return int(xp.argmin(shots)) if fewest == 0 else None
    host = known(labels)
    missing = [] if host is None else sorted(set(range(shots.shape[0])) - set(host.tolist()))
    return missing[0] if missing else None


@quiet
def prototypes(z: Array, labels: Array, n_classes: int) -> Array:
    """Class means (Snell et al. 2017). z (N, D) float, labels (N,) integers in [0, n_classes) -> (n_classes, D).

    UserError (a ValueError) for a label that is not in [0, n_classes), and for a class without a shot.

    Examples
    --------
    >>> z = np.array([[0.0, 0.0], [2.0, 4.0], [5.0, 5.0]])
    >>> lk.prototypes(z, np.array([0, 0, 1]), 2)
    array([[1., 2.],
           [5., 5.]])
    """
    n_classes = class_count(n_classes)
    xp, (z,), finish = working(z=z)
    labels, shots = _shots(xp, z, labels, n_classes)
    if n_classes == 0:
        return finish(-z)
    chosen = one_hot(xp, labels, n_classes)[:, :, None]
    width = max(1, TILE // max(1, z.shape[0] * z.shape[1]))
    # Divided before the sum, so that the mean of large values does not overflow.
    means = [
        tree_sum(xp, xp.where(chosen[:, m, :], z[:, None, :] / shots[m, :], xp.zeros_like(z[:, None, :])), axis=0)
        for m in spans(n_classes, width)
    ]
    return finish(xp.concat(means, axis=0))


@quiet
def prototypes_vjp(z: Array, labels: Array, n_classes: int, dy: Array) -> Array:
    """Gradient of `prototypes`. dy (n_classes, D) -> dz (N, D): dy of its class / shots. Errors as in `prototypes`.

    Examples
    --------
    >>> z = np.array([[0.0, 0.0], [2.0, 4.0], [5.0, 5.0]])
    >>> lk.prototypes_vjp(z, np.array([0, 0, 1]), 2, np.ones((2, 2)))
    array([[0.5, 0.5],
           [0.5, 0.5],
           [1. , 1. ]])
    """
    n_classes = class_count(n_classes)
    xp, (z, dy), finish = working(z=z, dy=dy)
    labels, shots = _shots(xp, z, labels, n_classes)
    require_shape("dy", dy, (n_classes, z.shape[1]))
    if z.shape[0] == 0:
        return finish(-z)
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
