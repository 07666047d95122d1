"""Print each function's share of a training step on one thread: `python -m tools.step_profile`."""

from __future__ import annotations

import cProfile
from pathlib import Path

from leakysm_benchmarks.step_sizes import SIZES, Size, episodes
from leakysm_benchmarks.train_step import OurStep

from leakysm.backends.numpy.engine import NumpyEngine

STEPS, SHOWN = 20, 12


def profile(size: Size, steps: int = STEPS) -> list[tuple[str, float]]:
    """(file:function, milliseconds a step in it and in the NumPy functions that it calls), the longest first."""
    ours, drawn = OurStep(NumpyEngine(1), size), episodes(size, 2)
    for indices in drawn:
        ours.step(indices)
    profiler = cProfile.Profile(builtins=False)
    profiler.enable()
    for step in range(steps):
        ours.step(drawn[step % len(drawn)])
    profiler.disable()
    rows = [
        (f"{Path(entry.code.co_filename).name}:{entry.code.co_name}", 1e3 * entry.inlinetime / steps)
        for entry in profiler.getstats()
        if not isinstance(entry.code, str)  # built-in functions are left out
    ]
    return sorted(rows, key=lambda entry: -entry[1])


def main() -> None:
    """Print the first size's profile."""
    rows = profile(SIZES[0])
    print(f"{SIZES[0]}, one thread: {sum(ms for _, ms in rows):.0f} ms a step")
    for name, ms in rows[:SHOWN]:
        print(f"{ms:7.1f}  {name}")
    print(f"{sum(ms for _, ms in rows[SHOWN:]):7.1f}  all others")


if __name__ == "__main__":
    main()
