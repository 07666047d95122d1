"""All pairs that our own kernels make, by operation."""

from __future__ import annotations

from leakysm.backends.cupy.blocks import block_pairs
from leakysm.backends.cupy.distances import distance_pairs
from leakysm.backends.cupy.kernels import Kernels
from leakysm.backends.cupy.loss import loss_pairs
from leakysm.backends.protocol import Pair


def fused_pairs(kernels: Kernels) -> dict[str, Pair]:
    """What is missing falls back to the reference operation."""
    return block_pairs(kernels) | distance_pairs(kernels) | loss_pairs(kernels)
