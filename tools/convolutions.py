"""Processor time of a training step by Winograd's convolution beside the direct one: `python -m tools.convolutions`.

One thread, the two in turns. Processor time tells the two apart on a machine that does other work, too.
"""

from __future__ import annotations

import time

import numpy as np
from leakysm_benchmarks.sizes import SIZES, Size, episodes
from leakysm_benchmarks.train_step import OurStep

from leakysm.backends.numpy.engine import NumpyEngine
from leakysm.choices import CONVOLUTIONS

ROUNDS = {28: 16, 84: 6}  # by the side of an image


def seconds(size: Size, rounds: int) -> np.ndarray:
    """Processor seconds of a step, (rounds, CONVOLUTIONS). Each one's first step is not counted."""
    (drawn,), found = episodes(size, 1), np.zeros((rounds + 1, len(CONVOLUTIONS)))
    steps = [OurStep(NumpyEngine(1, convolution=name), size) for name in CONVOLUTIONS]
    for turn, row in enumerate(found):
        for i in (0, 1) if turn % 2 else (1, 0):
            before = time.process_time()
            steps[i].step(drawn)
            row[i] = time.process_time() - before
    return found[1:]


def main() -> None:
    """Print the ratio winograd / direct of each size: below 1, Winograd's convolution is faster."""
    for size in SIZES:
        direct, winograd = seconds(size, ROUNDS[size.image[0]]).T
        low, middle, high = np.percentile(winograd / direct, (25, 50, 75))
        print(f"{size}: {middle:.2f} ({low:.2f}-{high:.2f}), minima {winograd.min() / direct.min():.2f}")


if __name__ == "__main__":
    main()
