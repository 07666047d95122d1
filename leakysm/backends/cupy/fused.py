"""All operations that our own kernels do, and what they are for; the reference operations do the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from leakysm.backends.checks import CONVOLUTIONS
from leakysm.backends.cupy.blocks import block_pairs
from leakysm.backends.cupy.distances import distance_pairs
from leakysm.backends.cupy.kernels import PACK, Kernels
from leakysm.backends.cupy.loss import loss_pairs
from leakysm.backends.protocol import Pair, reference_pair
from leakysm.ops.arrays import dtype_name


def fits(operation: str, arguments: tuple[Any, ...]) -> bool:
    """Whether our kernels take these arguments: float32; of a convolution at least one channel, and filters by PACK."""
    if not hasattr(arguments[0], "dtype") or dtype_name(arguments[0]) != "float32":
        return False
    if operation not in CONVOLUTIONS:
        return True
    w: tuple[int, ...] = getattr(arguments[1], "shape", ())
    return len(w) == 4 and 0 not in w and w[-1] % PACK == 0


class Chosen(NamedTuple):
    """Which of the two pairs went forward, and what it saved."""

    ours: bool
    saved: Any


@dataclass(frozen=True)
class Operation:
    """One operation: by our kernels where they fit, else by the reference operation on the device's arrays."""

    name: str
    ours: Pair
    reference: Pair

    def forward(self, *arguments: Any, **parameters: Any) -> tuple[Any, Chosen]:
        """(y, saved)."""
        ours = fits(self.name, arguments)
        y, saved = (self.ours if ours else self.reference).forward(*arguments, **parameters)
        return y, Chosen(ours, saved)

    def backward(self, chosen: Chosen, *dy: Any, **options: Any) -> Any:
        """The gradients, by the pair that went forward."""
        return (self.ours if chosen.ours else self.reference).backward(chosen.saved, *dy, **options)


def fused_pairs(kernels: Kernels) -> dict[str, Pair]:
    """The pairs by operation, for all arguments that an operation takes."""
    pairs = block_pairs(kernels) | distance_pairs(kernels) | loss_pairs(kernels)
    operations = {name: Operation(name, pair, reference_pair(name)) for name, pair in pairs.items()}
    return {name: Pair(operation.forward, operation.backward) for name, operation in operations.items()}
