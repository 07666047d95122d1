"""Further figures of one training step, by which the claims of the paper's abstract are judged.

Gradients of distances and embeddings are those of the *sum* of the queries' losses, as in `leakysm.training.sparsity`;
those of the weights are of the mean loss, which the optimizer is given.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leakysm.nets import Conv4
from leakysm.training.loss import Array, EpisodeLoss
from leakysm.training.sparsity import VANISHED
from leakysm.training.trainer import Trainer

Floats = NDArray[np.float64]

OF_DISTANCES = (
    "distance_p99",
    "largest_distance",
    "mean_distance_gradient",
    "wrong_queries",
    "vanished_of_wrong",
    "certain_queries",
)


def columns(blocks: int) -> tuple[str, ...]:
    """The names of what `observe` gives for a Conv4 of so many blocks."""
    return (*OF_DISTANCES, *(f"weight_gradient_{b}" for b in range(1, blocks + 1)))


def observe(trainer: Trainer, result: EpisodeLoss, gradient: Array) -> Floats:
    """The values of `columns` in one step, of its loss and of the gradient (P,) of all parameters."""
    assert isinstance(trainer.net, Conv4), "somebody's own net has no blocks"
    host = trainer.engine.to_host
    distances, ddistances = (host(array).astype(np.float64) for array in (result.distances, result.ddistances))
    parts = trainer.net.parts(gradient)
    weights = [host(parts[f"block{b}.weight"]).astype(np.float64) for b in range(1, trainer.net.blocks + 1)]
    return np.array([*of_distances(distances, np.abs(ddistances) * len(distances)), *map(np.linalg.norm, weights)])


def of_distances(distances: Floats, gradients: Floats) -> tuple[float, ...]:
    """The values of OF_DISTANCES. distances, gradients (N, way): |dL/dd|; the queries stand class by class.

    A query is certain if it is right, and its class has a probability above 1 - VANISHED: then all of its entries have
    vanished, because the net has succeeded. vanished_of_wrong is NaN where no query is wrong.
    """
    n, way = distances.shape
    labels = np.repeat(np.arange(way), n // way)
    wrong = np.argmin(distances, axis=1) != labels
    certain = ~wrong & (gradients[np.arange(n), labels] < VANISHED)
    return (
        float(np.quantile(distances, 0.99)),
        float(distances.max()),
        float(gradients.mean()),
        float(wrong.mean()),
        float((gradients[wrong] < VANISHED).mean()) if wrong.any() else float("nan"),
        float(certain.mean()),
    )
