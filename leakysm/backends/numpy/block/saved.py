"""What the forward pass of a block leaves for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from leakysm.backends.numpy.arrays import Doubles, Floats, Integers, Mask
from leakysm.backends.numpy.block.chunks import Chunk, Task
from leakysm.backends.numpy.block.patches import Patches
from leakysm.backends.numpy.products import multiply
from leakysm.backends.numpy.scratch import Scratch


class Outputs(NamedTuple):
    """The outputs o' = o - subtracted, (n, F), and the maxima of their windows, (N h w, F)."""

    outputs: Floats
    largest: Floats


@dataclass(frozen=True)
class Block:
    """A block's arguments and what was computed from them. Outputs and pooled values stand by chunk, in window order.

    Outputs are stored negated where the scale is negative, and with `subtracted` taken off: `offset` is their mean.
    """

    x: Floats  # (N, H, W, C) contiguous
    w: Floats  # (9 C, F) times `sign`
    sign: Floats  # (F,) 1, or -1 where the scale is negative, times a power of two
    gain: Doubles  # (F,) |scale|
    subtracted: Floats  # (F,) from the outputs: an estimate of their mean
    offset: Doubles  # (F,) what is left of the mean
    inverse: Doubles  # (F,) 1 / sigma
    kept: Outputs | Patches  # patches for few channels, where outputs cost less to compute than to keep
    choice: Mask  # (3, N h w, F) the position of each maximum, see `pool`
    positive: Mask  # (N h w, F) y > 0
    tasks: tuple[Task, ...]

    @cached_property
    def constant(self) -> Integers:
        """The channels with scale 0: every normalised value is the shift."""
        return np.flatnonzero(self.gain == 0)

    def outputs_of(self, chunk: Chunk, scratch: Scratch) -> Floats:
        """The chunk's outputs, (m, F): kept, or computed from its patches."""
        if isinstance(self.kept, Outputs):
            return self.kept.outputs[chunk.outputs]
        rows = scratch("outputs", (chunk.size, self.w.shape[1]), self.w.dtype)
        multiply(self.kept.of_chunk(chunk).T, self.w, out=rows)
        return rows
