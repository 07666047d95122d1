"""A block of Conv4 in training: convolution, batch norm over the batch, ReLU, 2x2 max pool, as one operation."""

from __future__ import annotations

from leakysm.backends.checks import check_batch, check_block, check_cotangent
from leakysm.backends.numpy.arrays import Floats
from leakysm.backends.numpy.block.backward import BackwardPass, Gradients
from leakysm.backends.numpy.block.chunks import Tiling
from leakysm.backends.numpy.block.forward import ForwardPass, Normalised
from leakysm.backends.numpy.block.saved import Block
from leakysm.backends.numpy.memory import Memory
from leakysm.backends.numpy.threads import Workers
from leakysm.ops.arrays import quiet
from leakysm.ops.batch_norm import EPS


class ConvBlock:
    """The operation `conv_block`, on a set of threads."""

    def __init__(self, workers: Workers, memory: Memory, tiling: Tiling) -> None:
        self._forward = ForwardPass(workers, memory, tiling)
        self._backward = BackwardPass(workers, memory, tiling)

    @quiet
    def forward(
        self, x: Floats, w: Floats, scale: Floats, shift: Floats, *, eps: float = EPS
    ) -> tuple[Normalised, Block]:
        """x (N, H, W, C), w (3, 3, C, F), scale, shift (F,) -> y (N, H // 2, W // 2, F), mean, biased variance (F,)."""
        check_block(eps, x, w, scale=scale, shift=shift)
        check_batch(x)
        return self._forward.run(x, w, scale, shift, eps)

    @quiet
    def backward(self, saved: Block, dy: Floats, *, needs_dx: bool = True) -> Gradients:
        """dy (N, H // 2, W // 2, F) -> dx (None if not needed), dw, dscale, dshift."""
        N, H, W, _ = saved.x.shape
        check_cotangent(dy, saved.x, (N, H // 2, W // 2, saved.w.shape[1]))
        return self._backward.run(saved, dy, needs_dx)
