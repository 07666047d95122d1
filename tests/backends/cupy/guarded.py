"""Run kernels with every array between two pages that may not be touched: a stray access ends the process at once.

`python -m tests.backends.cupy.guarded FOLDER SIDE` runs all kernels at odd sizes and names each before it starts; SIDE
is the page, "before" or "after", that the arrays touch.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.backends.cupy.blocks import block_pairs
from leakysm.backends.cupy.distances import distance_pairs
from leakysm.backends.cupy.kernels import PRODUCTS, Tiling
from leakysm.backends.cupy.loss import loss_pairs
from tests.backends.cupy.block_cases import block
from tests.backends.cupy.host_kernels import HostKernels

PAGE = mmap.PAGESIZE
LIBC = ctypes.CDLL(None, use_errno=True)


def guarded_copy(array: np.ndarray, side: str) -> np.ndarray:
    """The array's values where the page before its first byte, or after its last, is closed to everybody."""
    pages = -(-array.nbytes // PAGE) + 2
    room = mmap.mmap(-1, pages * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    for page in (0, pages - 1):
        assert LIBC.mprotect(ctypes.c_void_p(start + page * PAGE), PAGE, 0) == 0
    offset = PAGE if side == "before" else (pages - 1) * PAGE - array.nbytes
    copy = np.frombuffer(room, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


class GuardedKernels(HostKernels):
    """HostKernels whose kernels see guarded copies of their arrays."""

    def __init__(self, folder: Path, side: str, **options: Any) -> None:
        super().__init__(folder, **options)
        self.side = side

    def start(self, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        print(name, flush=True)
        copies = tuple(guarded_copy(a, self.side) if isinstance(a, np.ndarray) else a for a in arguments)
        super().start(name, grid, block, copies)
        for original, copy in zip(arguments, copies, strict=True):
            if isinstance(original, np.ndarray) and original.flags.writeable:
                original[...] = copy


def run_blocks(kernels: HostKernels) -> None:
    for shape in [(2, 7, 7, 3, 8), (1, 9, 5, 8, 68), (1, 1, 5, 2, 4), (1, 5, 7, 1, 64), (1, 3, 3, 64, 64)]:
        case = block(0, shape)
        pair = block_pairs(kernels)["conv_block"]
        _, saved = pair.forward(*case.arguments)
        pair.backward(saved, case.dy)
        pair.backward(saved, case.dy, needs_dx=False)
        pair = block_pairs(kernels)["conv_block_inference"]
        _, saved = pair.forward(*case.arguments, case.shift, abs(case.shift))
        pair.backward(saved, case.dy)


def run_episodes(kernels: HostKernels) -> None:
    random = np.random.default_rng(0)
    for N, M, D in [(1, 1, 1), (17, 33, 35), (5, 16, 32)]:
        x, c, dy = (random.normal(size=s).astype("float32") for s in ((N, D), (M, D), (N, M)))
        leaky = [{"threshold": 1.0, "slope": 0.5, "per": per} for per in ("pair", "coordinate")]
        for name, pair in distance_pairs(kernels).items():
            for settings in leaky if name.startswith("leaky") else ({},):
                _, saved = pair.forward(x, c, **settings)
                pair.backward(saved, dy)
        for name, pair in loss_pairs(kernels).items():
            y, saved = pair.forward(x, np.arange(N) % D, *((min(N, D),) if name == "prototypes" else ()))
            pair.backward(saved, random.normal(size=y.shape).astype("float32"))


def run_step(kernels: HostKernels) -> None:
    from leakysm.optim import SGD, Adam
    from tests.training.test_device_step import step_with

    for optimizer in (Adam(0.01), SGD(0.01)):
        step_with(kernels, optimizer=optimizer)[0](np.arange(15))


if __name__ == "__main__":
    for products in PRODUCTS:
        for large in (256, 0):
            tiling = Tiling(large=large, slices=176, shortest=16)
            kernels = GuardedKernels(Path(sys.argv[1]), sys.argv[2], products=products, tiling=tiling)
            run_blocks(kernels)
            if products == "FLOAT32" and large:  # neither episodes nor the step add kernels for other tiles
                run_episodes(kernels)
                run_step(kernels)
