"""Conv4 and one episode's prototypical loss in 50-digit arithmetic, forwards and backwards. For small nets.

Support and query images go through the net in one batch, as in training. Layouts: images (N, H, W, C), kernels
(3, 3, C, F), embeddings flattened in the order (row, column, channel).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakysm.verify.oracle.block import TrainingBlock
from leakysm.verify.oracle.convolution import pool_windows
from leakysm.verify.oracle.episode import Episode, prototypical_loss_vjp, queries_loss
from leakysm.verify.precise import Array, precisely, rounded

BLOCKS = 4
EPS = 1e-5


@dataclass(frozen=True)
class TrainingPass:
    """A training step's results, 50-digit arrays: embeddings (N, E), distances (Q, M), loss (), gradients by name.

    margin: how close the closest of all pooling and ReLU choices is: the smallest difference between a window's two
    largest values, or between its largest value and 0. A computation that errs by less makes the same choices.
    """

    embeddings: Array
    distances: Array
    loss: Array
    gradients: dict[str, Array]
    margin: float


@precisely
def training_pass(
    parameters: Mapping[str, Any], images: Any, support_labels: Any, query_labels: Any, distance: Any
) -> TrainingPass:
    """parameters: block1.weight, block1.scale, ..., block4.shift; images (S + Q, H, W, C), support first."""
    blocks, x = [], images
    for b in range(1, BLOCKS + 1):
        blocks.append(TrainingBlock(x, *_block(parameters, b), eps=EPS))
        x = blocks[-1].value()[0].value
    z = x.reshape(len(x), -1)
    shots = len(support_labels)
    episode = Episode(z[:shots], support_labels, z[shots:], query_labels, distance=distance)
    (loss,) = queries_loss(episode)
    dsupport, dquery = prototypical_loss_vjp(episode)
    dx = np.concatenate([dsupport.value, dquery.value]).reshape(x.shape)
    gradients: dict[str, Array] = {}
    for b in range(BLOCKS, 0, -1):
        dx_exact, dw, dscale, dshift = blocks[b - 1].vjp(dx)
        names = (f"block{b}.weight", f"block{b}.scale", f"block{b}.shift")
        gradients |= dict(zip(names, (dw.value, dscale.value, dshift.value), strict=True))
        dx = dx_exact.value
    return TrainingPass(z, episode.metric.value, loss.value, gradients, min(map(_margin, blocks)))


def _block(parameters: Mapping[str, Any], b: int) -> tuple[Any, Any, Any]:
    return parameters[f"block{b}.weight"], parameters[f"block{b}.scale"], parameters[f"block{b}.shift"]


def _margin(block: TrainingBlock) -> float:
    windows = np.sort(rounded(pool_windows(block.normalised[0].reshape(block.shape))), axis=-1)
    alive = windows[..., 3] > 0
    apart = np.where(alive, windows[..., 3] - windows[..., 2], np.inf)
    return float(min(apart.min(initial=np.inf), np.abs(windows[..., 3]).min(initial=np.inf)))
