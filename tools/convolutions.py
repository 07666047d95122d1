"""A training step's time by Winograd's convolution beside the direct one: `python -m tools.convolutions [THREADS]`.

The two in turns, on all cores by default. What else runs on the machine changes the ratio.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from leakysm_benchmarks.sizes import SIZES, Size, episodes
from leakysm_benchmarks.train_step import OurStep

from leakysm.backends.numpy.engine import NumpyEngine
from leakysm.choices import CONVOLUTIONS

ROUNDS = {28: 24, 84: 8}  # by the side of an image


def seconds(size: Size, rounds: int, threads: int | None) -> np.ndarray:
    """Seconds of a step, (rounds, CONVOLUTIONS). Each one's first step is not counted."""
    (drawn,), found = episodes(size, 1), np.zeros((rounds + 1, len(CONVOLUTIONS)))
    steps = [OurStep(NumpyEngine(threads, convolution=name), size) for name in CONVOLUTIONS]
    for turn, row in enumerate(found):
        for i in (0, 1) if turn % 2 else (1, 0):
            before = time.perf_counter()
            steps[i].step(drawn)
            row[i] = time.perf_counter() - before
    return found[1:]


def main() -> None:
    """Print the ratio winograd / direct of each size: below 1, Winograd's convolution is faster."""
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else None
    for size in SIZES:
        direct, winograd = seconds(size, ROUNDS[size.image[0]], threads).T
        low, middle, high = np.percentile(winograd / direct, (25, 50, 75))
        print(f"{size}: {middle:.2f} ({low:.2f}-{high:.2f}), minima {winograd.min() / direct.min():.2f}")


if __name__ == "__main__":
    main()
