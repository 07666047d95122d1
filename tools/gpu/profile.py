"""The time of each kernel of a training step on a GPU: `python -m tools.gpu.profile`.

Each launch of a step is repeated as a CUDA graph of its own. So no work of the host is timed, and arrays that fit into
the cache are read from it. The table gives for each launch its time, the rate of its matrix product, and the rate of
memory if every array is moved once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from leakysm_benchmarks.gpu import OurStep
from leakysm_benchmarks.step_sizes import SIZES, Size, episodes

from leakysm.backends.cupy.device import CudaKernels
from leakysm.backends.cupy.engine import CupyEngine
from leakysm.backends.cupy.kernels import Launch
from leakysm.choices import PRODUCTS
from leakysm.errors import UserError
from leakysm.ops.metrics import LeakySquaredEuclidean

REPEATS, ROUNDS = 20, 5


class Row(NamedTuple):
    """A launch: seconds, floating-point operations of its matrix product (0 for all others), bytes of its arrays."""

    name: str
    seconds: float
    operations: int
    size: int


def profile(ours: OurStep, size: Size, seconds: Callable[[Launch], float]) -> list[Row]:
    """A row for each launch of a step, in order. seconds(launch): the time that it takes."""
    launches: list[Launch] = []
    kernels: Any = ours.engine.kernels
    program = kernels.program

    def kept(given: list[Launch], *ends: Any) -> Any:
        launches.extend(given)
        return program(given, *ends)

    kernels.program = kept
    try:
        ours.step(episodes(size, 1)[0])  # all arrays are filled then
    finally:
        kernels.program = program
    return [Row(one.name, seconds(one), operations(one), moved(one)) for one in launches]


def operations(launch: Launch) -> int:
    """Additions and multiplications of a matrix product's launch; 0 for another."""
    if not launch.name.startswith(("convolve", "weight_gradient", "first_weight_gradient")):
        return 0
    N, H, W, C, F, *_ = (int(a) for a in launch.arguments if isinstance(a, np.int32))
    return 2 * N * H * W * 9 * C * F


def moved(launch: Launch) -> int:
    """Bytes of all arrays of a launch."""
    return sum(a.nbytes for a in launch.arguments if getattr(a, "ndim", 0))


def seconds_on(kernels: CudaKernels) -> Callable[[Launch], float]:
    """A function that times a launch by CUDA events: the shortest of ROUNDS graphs of REPEATS launches."""
    cuda = kernels.xp.cuda
    stream = cuda.Stream(non_blocking=True)

    def seconds(launch: Launch) -> float:
        stream.begin_capture()
        with stream:
            for _ in range(REPEATS):
                kernels.start(*launch[:4])
        graph = stream.end_capture()
        times = []
        for _ in range(ROUNDS):
            begin, end = cuda.Event(), cuda.Event()
            begin.record(stream)
            graph.launch(stream)
            end.record(stream)
            end.synchronize()
            times.append(1e-3 * float(cuda.get_elapsed_time(begin, end)) / REPEATS)
        return min(times)

    return seconds


def lines(rows: list[Row]) -> list[str]:
    """A table of the launches, the longest first, and their sum."""
    table = [f"{'us':>8}  {'TFLOP/s':>8}  {'GB/s':>7}  kernel"]
    for name, taken, work, size in sorted(rows, key=lambda row: -row.seconds):
        rate = f"{work / taken / 1e12:8.1f}" if work else " " * 8
        table.append(f"{1e6 * taken:8.1f}  {rate}  {size / taken / 1e9:7.0f}  {name}")
    return [*table, f"{1e6 * sum(row.seconds for row in rows):8.1f}  us, all {len(rows)} one after another"]


def main() -> None:
    """Print the profile of every size, with each way to make the matrix products."""
    for products in PRODUCTS:
        engine = CupyEngine("cuda", products=products)
        kernels: Any = engine.kernels
        for size in SIZES:
            ours = OurStep(engine, size, LeakySquaredEuclidean())
            print(f"{size}, products: {products}", *lines(profile(ours, size, seconds_on(kernels))), "", sep="\n")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"Error: {error}")
