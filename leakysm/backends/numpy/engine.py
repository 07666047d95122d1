"""The NumPy engine: fused, cache-blocked and threaded forms of the operations that training spends its time in."""

from __future__ import annotations

from leakysm.backends.numpy import prototypes
from leakysm.backends.numpy.block import chunks
from leakysm.backends.numpy.block.backward import BackwardPass
from leakysm.backends.numpy.block.forward import ForwardPass
from leakysm.backends.numpy.block.inference import InferencePass
from leakysm.backends.numpy.distance_cross_entropy import DistanceCrossEntropy, LossTiling
from leakysm.backends.numpy.distances import tiling
from leakysm.backends.numpy.distances.operations import distance_pairs
from leakysm.backends.numpy.memory import Memory
from leakysm.backends.numpy.threads import Workers
from leakysm.backends.protocol import Engine, Pair, reference_pair

BLOCKS, DISTANCES, LOSSES = chunks.Tiling(), tiling.Tiling(), LossTiling()


class NumpyEngine(Engine):
    """The operations on this machine's processor.

    threads: None for every core at hand; results do not depend on it.

    blocks, distances, losses: how these are cut into tiles. It decides speed, memory and the last bits; the defaults
    are the fastest that were found.
    """

    name = "numpy"

    def __init__(
        self,
        threads: int | None = None,
        *,
        blocks: chunks.Tiling = BLOCKS,
        distances: tiling.Tiling = DISTANCES,
        losses: LossTiling = LOSSES,
    ) -> None:
        workers, memory = Workers(threads), Memory()
        self.threads = workers.threads
        loss = DistanceCrossEntropy(self.operation, workers, losses)
        forward, backward = ForwardPass(workers, memory, blocks), BackwardPass(workers, memory, blocks)
        inference = InferencePass(workers, memory, blocks)
        self.pairs = {
            "conv_block": Pair(forward.run, backward.run),
            "conv_block_inference": Pair(inference.run, reference_pair("conv_block_inference").backward),
            "prototypes": Pair(prototypes.forward, prototypes.backward),
            "distance_cross_entropy": Pair(loss.forward, loss.backward),
            **distance_pairs(workers, distances),
        }
