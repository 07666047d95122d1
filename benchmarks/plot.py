"""Plot the time of a training step over the number of classes and the size of images: ours, PyTorch's best layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from leakysm_benchmarks.sizes import Size, episodes, pixels
from leakysm_benchmarks.train_step import OurStep
from leakysm_benchmarks.turns import Contender, take_turns

from leakysm import plots
from leakysm.backends.numpy.engine import NumpyEngine

WAYS, SIDES = (5, 10, 20, 40, 60), (16, 28, 42, 56, 84)
BY_WAY = [Size(way, 1, 5, (28, 28, 1)) for way in WAYS]
BY_SIDE = [Size(10, 1, 5, (side, side, 3)) for side in SIDES]


def costs(
    sizes: Sequence[Size],
    *,
    threads: int | None,
    vs: Sequence[str],
    rounds: int,
    progress: Callable[[str], None],
) -> dict[str, list[float]]:
    """Median seconds a step of each contender, size by size."""
    medians: dict[str, list[float]] = {}
    for size in sizes:
        progress(f"cost of a step, {size}")
        engine = NumpyEngine(threads)
        players: list[Contender] = [OurStep(engine, size)]
        if "torch" in vs:
            from leakysm_benchmarks.torch_cpu import TorchStep

            players.append(TorchStep(size, pixels(size), "channels_last", threads=engine.threads))
        times = take_turns(players, episodes(size, 1), rounds=rounds, warm_up=2)
        for player, seconds in zip(players, np.median(times, axis=0), strict=True):
            medians.setdefault(player.name, []).append(float(seconds))
    return medians


def draw(picture: Path, **settings: Any) -> None:
    """Measure, and write the picture. settings: the keywords of `costs`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle("Time of a training step, forward and backward", fontweight="bold")
    axes = figure.subplots(1, 2)
    for axis, sizes, at, title, label in (
        (axes[0], BY_WAY, WAYS, "1-shot, 5 queries a class, images 28x28x1", "classes of an episode"),
        (axes[1], BY_SIDE, SIDES, "10-way 1-shot, 5 queries a class, 3 channels", "side of an image, pixels"),
    ):
        found = costs(sizes, **settings)
        for (name, seconds), marker in zip(found.items(), "os^D", strict=False):
            axis.plot(at, [1e3 * s for s in seconds], marker=marker, label=name)
        axis.set(xscale="log", xticks=at, xticklabels=at)
        plots.panel(axis, title, label, "milliseconds")
        plots.logarithmic(axis)
        axis.minorticks_off()
    plots.legend(figure, axes[0], "median of a step")
    figure.savefig(picture, dpi=120)
