"""An engine whose fast operations are our own kernels, on whatever runs them; the reference operations do the rest."""

from __future__ import annotations

from typing import Any

from leakysm.backends.checks import CONVOLUTIONS
from leakysm.backends.cupy.blocks import block_pairs
from leakysm.backends.cupy.distances import distance_pairs
from leakysm.backends.cupy.kernels import PACK, Kernels
from leakysm.backends.cupy.loss import loss_pairs
from leakysm.backends.protocol import Engine
from leakysm.ops.arrays import dtype_name


class KernelEngine(Engine):
    """The operations by these kernels where they take the arguments, else by the reference on the device's arrays."""

    name = "cupy"

    def __init__(self, kernels: Kernels) -> None:
        self.kernels = kernels
        self.xp = kernels.xp
        self.pairs = block_pairs(kernels) | distance_pairs(kernels) | loss_pairs(kernels)

    def serves(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """Whether our kernels take these arguments: float32; a convolution with some channel, and filters by PACK."""
        if not hasattr(arguments[0], "dtype") or dtype_name(arguments[0]) != "float32":
            return False
        if name not in CONVOLUTIONS:
            return True
        w: tuple[int, ...] = getattr(arguments[1], "shape", ())
        return len(w) == 4 and 0 not in w and w[-1] % PACK == 0
