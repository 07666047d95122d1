"""The CUDA kernels of this folder: which there are, what a compiler is told, how one is launched."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from leakysm.errors import UserError
from leakysm.ops.arrays import dtype_name

FOLDER = Path(__file__).parent
MOST_THREADS = 2**31 - 1  # along a grid's first axis: thread numbers are 32-bit ints
MOST_ROWS = 65535  # blocks along its other axes
C_NAMES = {"float32": "float", "float64": "double"}
PRODUCTS = ("ORDINARY", "TF32", "SPLIT")  # how float's matrix products are made, as in gemm.cuh


def instances(products: str) -> dict[str, list[str]]:
    """Every kernel that is launched, as a C++ name, by file. products: one of PRODUCTS."""
    return {
        "convolution.cu": [*_products(products), *_for_both("sum_slices", "turn_kernel")],
        "norm_pool.cu": [
            *_for_both("finish_statistics", "invert_deviation", "finish_sums"),
            *(f"{name}<{c}, {v}>" for name in ("pool", "pool_sums", "unpool") for c, n in WIDTHS for v in (1, n)),
        ],
        "distances.cu": [
            *_for_both("unit_rows"),
            *(f"{name}<{c}, {kind}>" for name in DISTANCES for kind in KINDS for c, _ in WIDTHS),
        ],
        "loss.cu": _for_both("prototypes", "prototypes_gradient", "cross_entropy", "row_lengths", "total", "summarise"),
        "training.cu": [
            *_for_both("gather", "largest_magnitude", "judge", "adam", "momentum", "update_running"),
        ],
    }


WIDTHS = (("float", 4), ("double", 2))  # values in 16 bytes
DISTANCES = ("distances", "distances_gradient")
KINDS = ("SQUARED", "COORDINATE", "EUCLIDEAN", "COSINE")  # as in distances.cu


def _for_both(*names: str) -> list[str]:
    return [f"{name}<{c}>" for name in names for c, _ in WIDTHS]


def _products(products: str) -> list[str]:
    """The matrix products: float in the tiles and widths that are used, split in the widest; double in the simplest."""
    p = "ORDINARY" if products == "SPLIT" else products
    widest = [f"convolve<float, {rows}, 4, 4, SPLIT>" for rows in (128, 32)]
    return [
        *([*widest, "weight_gradient<float, 96, 96, 4, 4, SPLIT>"] if products == "SPLIT" else ()),
        *(f"convolve<float, {rows}, {va}, {vb}, {p}>" for rows in (128, 32) for va, vb in ((4, 4), (1, 4), (1, 1))),
        "convolve<double, 32, 1, 1, ORDINARY>",
        f"weight_gradient<float, 96, 96, 4, 4, {p}>",
        *(f"weight_gradient<float, 32, 128, 1, {vb}, {p}>" for vb in (4, 1)),
        f"first_weight_gradient<float, 4, {p}>",
        "weight_gradient<double, 32, 128, 1, 1, ORDINARY>",
    ]


@functools.cache
def sources_digest() -> str:
    """A digest of all kernel sources: CuPy's cache of compiled kernels does not see what a file includes."""
    digest = hashlib.sha256()
    for path in sorted([*FOLDER.glob("*.cu"), *FOLDER.glob("*.cuh")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def compile_options() -> tuple[str, ...]:
    """What nvrtc is told. CuPy adds -ftz=true: numbers below the smallest normal one become 0."""
    return "-std=c++17", f"-I{FOLDER}", f"-DLEAKYSM_SOURCES=0x{sources_digest()}"


class Launch(NamedTuple):
    """What `Kernels.start` is called with, for later. beside: nothing waits for it until a launch that joins."""

    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    arguments: tuple[Any, ...]
    beside: bool
    joins: bool


class Kernels:
    """Launches kernels on arrays of `xp`. Subclasses start them: on a GPU here, on the CPU in the tests."""

    xp: Any
    products: str

    def width(self, *arrays: Any) -> int:
        """Values a thread reads at once: 16 bytes if every array's last axis and address allow it, else 1."""
        values = 16 // arrays[0].dtype.itemsize
        fit = all(a.shape[-1] % values == 0 and self.address(a) % 16 == 0 for a in arrays)
        return values if fit else 1

    def c_type(self, array: Any) -> str:
        """The C name of an array's dtype, as the kernels' names have it."""
        return C_NAMES[dtype_name(array)]

    def address(self, array: Any) -> int:
        """Where an array begins in memory."""
        raise NotImplementedError

    def host_buffer(self, size: int, dtype: Any) -> np.ndarray:
        """Memory of the host that `program` copies from and to, (size,)."""
        raise NotImplementedError

    def program(
        self, launches: list[Launch], given: tuple[Any, np.ndarray], result: tuple[Any, np.ndarray]
    ) -> Callable[[], None]:
        """A call that copies `given` to the device, does the launches, copies `result` back, and waits for the end.

        Both are (device, host) pairs of arrays of one size, the host's from `host_buffer`.
        """
        raise NotImplementedError

    def launch(self, name: str, grid: tuple[int, ...], block: int, *arguments: Any) -> None:
        """Start kernel `name` on a grid of blocks of `block` threads; nothing for an empty grid.

        Arguments: contiguous arrays, None for a null pointer, NumPy scalars, Python ints as 32-bit ints.
        """
        if 0 in grid:
            return
        if grid[0] * block > MOST_THREADS or max(grid[1:], default=0) > MOST_ROWS:
            raise UserError(f"an array is too large for one launch of {name}: use fewer or smaller images at a time")
        given = tuple(np.int32(a) if isinstance(a, int) else a for a in arguments)
        self.start(name, (*grid, 1, 1)[:3], (block, 1, 1), given)

    def start(self, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        raise NotImplementedError
