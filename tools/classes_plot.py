"""Plot the time of the loss of many classes over their number, and that of the distances alone.

`python -m tools.classes_plot PICTURE [CLASSES ...]` measures and draws; without numbers, up to 100,000.
A million classes take some minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from leakysm_benchmarks.classes import CLASSES, QUERIES, WIDTH, arrays, distances_alone, ours
from leakysm_benchmarks.turns import Call, Contender, take_turns

from leakysm import plots
from leakysm.backends.numpy.engine import NumpyEngine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "os^"
Seconds = dict[str, list[float]]  # by what was measured, one for each number of classes


def measure(classes: Sequence[int], *, queries: int = QUERIES) -> Seconds:
    """The shortest of three turns of each; before them one that is not counted, but not of the longest."""
    engine, found = NumpyEngine(), Seconds()
    for number in classes:
        given = arrays(number, queries)
        players: list[Contender] = [
            Call("loss and both gradients", "ours", ours(engine, given, gradients=True)),
            Call("loss", "ours", ours(engine, given, gradients=False)),
            Call("distances alone, in chunks", "floor", distances_alone(engine, given)),
        ]
        times = take_turns(players, [None], rounds=3, warm_up=int(number < CLASSES[-1]))
        for player, seconds in zip(players, np.min(times, axis=0), strict=True):
            found.setdefault(player.name, []).append(float(seconds))
    return found


def figure_of(classes: Sequence[int], found: Seconds, *, queries: int = QUERIES) -> Figure:
    """Both axes logarithmic: a dashed line goes through the last loss, in proportion to the number of classes."""
    figure, (axis,) = plots.new_figure(1, 1, width=7, height=4.2)
    for (name, seconds), style, marker in zip(
        found.items(), plots.styles(["leaky", *plots.BORROWED]), MARKERS, strict=False
    ):
        axis.plot(classes, seconds, color=style.colour, marker=marker, label=name)
    last = found["loss"][-1]
    axis.plot(
        classes, [last * number / classes[-1] for number in classes], "--", color="grey", lw=1, label="in proportion"
    )
    for which in ("x", "y"):
        plots.logarithmic(axis, which)
    plots.panel(axis, f"{queries:,} queries of {WIDTH} values, float32", "classes", "seconds")
    plots.finding(figure, "The time of the loss grows about in proportion to the number of classes")
    plots.legend(figure, axis, "shortest of the turns")
    return figure


def main(picture: str, *numbers: str) -> None:
    """Measure, print, and draw."""
    classes = [int(number) for number in numbers] or CLASSES
    found = measure(classes)
    for name, seconds in found.items():
        print(f"{name}: " + ", ".join(f"{n:,} classes {s:.3g} s" for n, s in zip(classes, seconds, strict=True)))
    figure_of(classes, found).savefig(picture, dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
