"""curves.png: loss, accuracy and gradients of a run, drawn from its metrics.csv."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakysm import plots
from leakysm.files import write_atomically
from leakysm.runs.journal import read_metrics
from leakysm.training.sparsity import VANISHED

SMALL_TOO = "a net that is right and sure has small gradients, too"
EARLY = 200  # steps in the panels on vanished gradients
VALIDATION = "#555555"  # no metric's colour


def draw_curves(metrics: Path, picture: Path, title: str, data: str, metric: str) -> None:
    """Loss and accuracy of the whole run; vanished gradients and mean distance of its first steps.

    title: the first test's result. data: what was trained on. metric: the distance in words, which decides the colour.
    """
    rows = read_metrics(metrics)
    figure, (loss, accuracy, vanished, distance) = plots.new_figure(2, 2, width=5, height=3.3)
    colour = plots.styles([metric])[0].colour
    _line(loss, rows["episode"], rows["loss"], colour)
    plots.panel(loss, "Loss of a training episode", "training episode", "loss")
    _line(accuracy, rows["episode"], 100 * rows["accuracy"], colour)
    plots.panel(accuracy, "Accuracy", "training episode", "% of the queries right")
    x, y = validations(rows)
    if x.size:
        accuracy.plot(x, y, "o-", color=VALIDATION, ms=4, label="validation (other classes)")
    _early(vanished, rows, 100 * rows["vanished_distance_gradients"], colour)
    plots.panel(
        vanished, "Gradient entries that have vanished", f"{_shown(rows)}\n{SMALL_TOO}", f"% of dL/dd below {VANISHED}"
    )
    vanished.set_ylim(0, 105)
    _early(distance, rows, rows["mean_distance"], colour)
    plots.panel(distance, "Distance to a prototype", _shown(rows), "mean distance")
    distance.set_ylim(bottom=0)
    plots.finding(figure, title)
    first = f"{100 * rows['vanished_distance_gradients'][0]:.0f} % of the gradient entries vanished at the first step"
    plots.legend(figure, accuracy, f"{data}, {metric}: {first}")
    write_atomically(picture, plots.png(figure))


def window_of(points: int) -> int:
    """The length of the moving window of `smoothed`."""
    return max(1, points // 50)


def validations(rows: Mapping[str, NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The episodes after which a run was validated, and the accuracies in percent."""
    there = np.isfinite(rows["validation_accuracy"])
    return rows["episode"][there], 100 * rows["validation_accuracy"][there]


def smoothed(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of y over a moving window of a fiftieth of the points, placed at the x where the window ends."""
    window = window_of(len(y))
    return x[window - 1 :], np.convolve(y, np.full(window, 1 / window), "valid")


def _line(axes: Any, x: NDArray[np.float64], y: NDArray[np.float64], colour: str) -> None:
    """Every step as a pale line, and the moving mean over it."""
    axes.plot(x, y, color=colour, alpha=0.25, lw=1, label="each episode")
    axes.plot(*smoothed(x, y), color=colour, label="moving mean")


def _early(axes: Any, rows: dict[str, NDArray[np.float64]], y: NDArray[np.float64], colour: str) -> None:
    """The first steps, each of them."""
    axes.plot(rows["episode"][:EARLY], y[:EARLY], color=colour, lw=1)


def _shown(rows: dict[str, NDArray[np.float64]]) -> str:
    """The episodes of a panel, and why it ends before the run does."""
    n = len(rows["episode"])
    return (
        "training episode"
        if n <= EARLY
        else f"training episode: the first {EARLY} of {n:,}, where distances differ most"
    )
