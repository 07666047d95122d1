"""The NumPy engine: fused, cache-blocked and threaded forms of the operations that training spends its time in."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.backends.checks import single_or_double
from leakysm.backends.numpy import prototypes
from leakysm.backends.numpy.block.backward import Backward
from leakysm.backends.numpy.block.forward import Forward
from leakysm.backends.numpy.block.inference import ConvBlockInference
from leakysm.backends.numpy.distances.distances import Distances
from leakysm.backends.numpy.memory import Memory
from leakysm.backends.numpy.threads import Workers
from leakysm.backends.protocol import Array, Engine, Pair


class NumpyEngine(Engine):
    """The operations on this machine's processor. threads: None for every core at hand; results do not depend on it."""

    name = "numpy"
    xp = np

    def __init__(self, threads: int | None = None) -> None:
        workers, memory = Workers(threads), Memory()
        self.threads = workers.threads
        pairs = {
            "conv_block": Pair(Forward(workers, memory), Backward(workers, memory)),
            "conv_block_inference": ConvBlockInference(workers, memory).pair(),
            "prototypes": prototypes.pair(),
            **Distances(workers).pairs(),
        }
        self.pairs = {name: single_or_double(name, pair) for name, pair in pairs.items()}

    def asarray(self, host: Any, dtype: Any = None) -> Array:
        """A NumPy array, in `dtype` if given."""
        return np.asarray(host, dtype)

    def to_host(self, array: Array) -> np.ndarray:
        """The array itself."""
        return np.asarray(array)
