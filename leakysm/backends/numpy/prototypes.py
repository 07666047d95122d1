"""Prototypes of classes with equally many shots, as an episode has: one sum for all classes, not one for each.

    c_m = sum over the S shots i of class m of z_i / S          dz_i = dy_m / S, m the class of i

Embeddings are divided before they are summed, so that the mean of large values does not overflow. Anything else, a
wrong argument included, goes to the reference, class by class.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from leakysm.backends.numpy.arrays import Floats, Integers
from leakysm.backends.protocol import ReferenceSaved, reference_pair
from leakysm.ops.arrays import quiet, require_shape, tree_sum, working


class EqualShots(NamedTuple):
    """The arguments z (N, D), labels (N,) and n_classes, and the number of shots that every class has."""

    z: Floats
    labels: Integers
    n_classes: int
    shots: int


@quiet
def forward(z: Floats, labels: Any, n_classes: int) -> tuple[Floats, EqualShots | ReferenceSaved]:
    """z (N, D), labels (N,) integers in [0, n_classes) -> (n_classes, D)."""
    shots = _shots(z, labels, n_classes)
    if not shots:
        return reference_pair("prototypes").forward(z, labels, n_classes)
    by_class = z[np.argsort(labels, kind="stable")] / z.dtype.type(shots)
    means = tree_sum(np, by_class.reshape(n_classes, shots, z.shape[1]), axis=1)
    return np.ascontiguousarray(means), EqualShots(z, labels, n_classes, shots)


@quiet
def backward(saved: EqualShots, dy: Floats) -> Floats:
    """dy (n_classes, D) -> dz (N, D)."""
    working(z=saved.z, dy=dy)
    require_shape("dy", dy, (saved.n_classes, saved.z.shape[1]))
    return np.take(dy / saved.z.dtype.type(saved.shots), saved.labels, axis=0)


def _shots(z: Floats, labels: Any, n_classes: Any) -> int:
    """The number of shots that every class has; 0 if the classes differ, or something is wrong."""
    if (
        z.ndim != 2
        or not isinstance(labels, np.ndarray)
        or labels.dtype.kind not in "iu"
        or labels.shape != z.shape[:1]
    ):
        return 0
    if type(n_classes) is not int or n_classes < 1 or len(z) % n_classes or not len(z):
        return 0
    if labels.min() < 0 or labels.max() >= n_classes:
        return 0
    shots = len(z) // n_classes
    return shots if (np.bincount(labels, minlength=n_classes) == shots).all() else 0
