"""The CUDA kernels of this folder: which there are, what a compiler is told, how one is launched.

They take float32 alone. Every number and name that host and kernels must agree on stands here; `source` tells the
kernels, as a macro LEAKYSM_ and its name.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from leakysm import choices
from leakysm.errors import UserError

FOLDER = Path(__file__).parent
MOST_THREADS = 2**31 - 1  # along a grid's first axis: thread numbers are 32-bit ints
MOST_ROWS = 65535  # blocks along its other axes

PRODUCTS = tuple(name.upper() for name in choices.PRODUCTS)  # how matrix products are made (gemm.cuh)
KINDS = ("SQUARED", "COORDINATE", "EUCLIDEAN", "COSINE")  # of distances (distances.cu)
ROW_FIGURES = ("LOSS", "RIGHT", "VANISHED", "DISTANCE", "PROBABILITY")  # of a query, for a step's figures (loss.cu)
PACK = 4  # channels that a thread reads and writes at once: 16 bytes
THREADS = 256  # of a block, where nothing else is said
TILE_THREADS = 128  # of a convolution's block
COLUMNS = 64  # output channels of a matrix product's tile
DEPTH = 16  # terms of a matrix product's sum that are brought to a tile at once
CHAIN = 128  # terms of a weight gradient's inner sums
GROUP, VALUES = 1024, 32  # slices that one launch of sum_slices adds to one, values that a block of it makes
LANES, TILE = 16, 256  # of a tile of pooled pixels (norm_pool.cu): lanes along the channels, pixels
SIDE, WIDTH = 8, 32  # rows of x and of c whose distances a block computes; coordinates of a gradient's block
CONSTANTS: dict[str, int | str] = {
    "PRODUCTS": ", ".join(PRODUCTS),
    "KINDS": ", ".join(KINDS),
    "FIGURES": ", ".join(ROW_FIGURES),
    "PACK": PACK,
    "THREADS": THREADS,
    "TILE_THREADS": TILE_THREADS,
    "COLUMNS": COLUMNS,
    "DEPTH": DEPTH,
    "CHAIN": CHAIN,
    "GROUP": GROUP,
    "VALUES": VALUES,
    "LANES": LANES,
    "TILE": TILE,
    "SIDE": SIDE,
    "WIDTH": WIDTH,
}

LARGE_ROWS, SMALL_ROWS = 128, 32  # pixels of a convolution's tile
# (tap, channel) rows of a weight gradient's tile: for any C that PACK divides, and for others
WIDE_ROWS, NARROW_ROWS = 96, 32


@dataclass(frozen=True)
class Tiling:
    """How work is cut, for speed alone.

    large: work of at least so many large tiles is cut into these; other work into small ones, which keep more of a GPU
    busy. slices, first_slices: a weight gradient's sum over pixels, and that of a first layer, is cut into about so
    many slices, of at least `shortest` pixels.
    """

    large: int = 256
    slices: int = 110
    first_slices: int = 528
    shortest: int = 128


def instances(products: str) -> dict[str, list[str]]:
    """Every kernel that is launched, as a C++ name, by file. products: one of PRODUCTS."""
    return {
        "convolution.cu": _products(products),
        "weights.cu": ["sum_slices", "turn_kernel"],
        "norm_pool.cu": ["finish_statistics", "invert_deviation", "finish_sums", "pool", "pool_sums", "unpool"],
        "distances.cu": [
            "unit_rows",
            *(f"{name}<{kind}>" for name in ("distances", "distances_gradient") for kind in KINDS),
        ],
        "loss.cu": ["prototypes", "prototypes_gradient", "cross_entropy", "row_lengths", "total", "summarise"],
        "training.cu": ["gather", "largest_magnitude", "judge", "adam", "momentum", "update_running"],
    }


def _products(products: str) -> list[str]:
    """The matrix products: split where both factors are read in packs, else in one piece."""
    whole = "FLOAT32" if products == "SPLIT" else products
    wide = {"SPLIT": ("SPLIT", "FLOAT32")}.get(products, (whole,))  # a sum of few terms is not split
    return [
        *(f"convolve<{rows}, {PACK}, {products}>" for rows in (LARGE_ROWS, SMALL_ROWS)),
        *(f"convolve<{rows}, 1, {whole}>" for rows in (LARGE_ROWS, SMALL_ROWS)),
        *(f"weight_gradient<{WIDE_ROWS}, {WIDE_ROWS}, {PACK}, {p}>" for p in wide),
        f"weight_gradient<{NARROW_ROWS}, {TILE_THREADS}, 1, {whole}>",
        f"first_weight_gradient<{NARROW_ROWS}, {whole}>",
    ]


@functools.cache
def sources_digest() -> str:
    """A digest of all kernel sources."""
    digest = hashlib.sha256()
    for path in sorted([*FOLDER.glob("*.cu"), *FOLDER.glob("*.cuh")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def source(file: str | Path) -> str:
    """What a compiler is given for one .cu file, by default one of this folder."""
    constants = "".join(f"#define LEAKYSM_{name} {value}\n" for name, value in CONSTANTS.items())
    return f'{constants}#include "{FOLDER / file}"\n'


def compile_options() -> tuple[str, ...]:
    """What every compiler of the kernels is told. The digest tells caches when an included file has changed."""
    return "-std=c++17", f"-I{FOLDER}", f"-DLEAKYSM_SOURCES=0x{sources_digest()}"


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def dividers(*divisors: int) -> tuple[np.uint64, ...]:
    """What a kernel needs to divide 0 <= n < 2^31 by these numbers (`Divider` in common.cuh): shift << 32 | magic.

    n / d is n times 2^shift / d, rounded up, over 2^shift (Granlund & Montgomery 1994). 0 (an empty array) acts as 1.
    """
    shifts = [31 + max(d - 1, 0).bit_length() for d in divisors]
    return tuple(np.uint64(s << 32 | ceil_div(1 << s, max(d, 1))) for d, s in zip(divisors, shifts, strict=True))


def _argument(given: Any) -> Any:
    """What a kernel is given for an argument of `launch`."""
    if isinstance(given, int):
        return np.int32(given)
    return np.float32(given) if isinstance(given, float) else given


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
    tiling: Tiling

    def address(self, array: Any) -> int:
        """Where an array begins in memory."""
        raise NotImplementedError

    def contiguous(self, *arrays: Any) -> list[Any]:
        """The arrays as the kernels read them: C order, aligned to 16 bytes; copied only if need be."""
        ordered = [self.xp.ascontiguousarray(a) for a in arrays]
        return [a.copy() if self.address(a) % 16 else a for a in ordered]

    def told(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, with what a device fails by told in one line."""
        return call

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

        Arguments: contiguous arrays, None for a null pointer, NumPy scalars, Python ints as 32-bit ints, Python floats
        as 32-bit floats.
        """
        if 0 in grid:
            return
        if grid[0] * block > MOST_THREADS or max(grid[1:], default=0) > MOST_ROWS:
            raise UserError(f"an array is too large for one launch of {name}: use fewer or smaller images at a time")
        self.start(name, (*grid, 1, 1)[:3], (block, 1, 1), tuple(map(_argument, arguments)))

    def start(self, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        raise NotImplementedError
