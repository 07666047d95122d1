"""Peak memory of a training step, in a process of its own.

`python -m leakysm_benchmarks.memory NUMBER CONTENDER`
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from leakysm_benchmarks.step_sizes import SIZES, Size, episodes
from leakysm_benchmarks.turns import Contender

OURS = "leakysm"


def peak_of_this_process() -> float:
    """The high-water mark in MB. Not by `ru_maxrss` if possible: a process inherits it from its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if match:
            return int(match[1]) / 1e3
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def one_step(size: Size, name: str) -> float:
    """The peak of the whole process in MB after two steps. name: OURS, or one of torch_conv4's FORMS."""
    from leakysm.backends.numpy.engine import NumpyEngine

    player: Contender
    if name == OURS:
        from leakysm_benchmarks.train_step import OurStep

        player = OurStep(NumpyEngine(), size)
    else:
        from leakysm_benchmarks.torch_conv4 import TorchStep

        player = TorchStep(size, name)
    for indices in episodes(size, 2):
        player.step(indices)
    return peak_of_this_process()


def peaks(names: Sequence[str]) -> list[dict[str, str | float]]:
    """`{"size", "contender", "megabytes"}` of each at each of SIZES."""
    results: list[dict[str, str | float]] = []
    for number, size in enumerate(SIZES):
        for name in names:
            command = [sys.executable, "-m", "leakysm_benchmarks.memory", str(number), name]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results.append({"size": str(size), "contender": name, "megabytes": float(answer.split()[-1])})
    return results


if __name__ == "__main__":
    print(round(one_step(SIZES[int(sys.argv[1])], *sys.argv[2:]), 1))
