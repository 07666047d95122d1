"""The results of a sweep: a table of settings over seeds, every run in JSON, a heat map over threshold and slope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leakysm import plots
from leakysm.errors import UserError
from leakysm.experiments.finished import FinishedRun, read_run
from leakysm.experiments.intervals import with_interval
from leakysm.experiments.student import Paired, paired
from leakysm.experiments.sweep.points import Point
from leakysm.experiments.sweep.run_all import FAILED, FINISHED, State
from leakysm.tables import markdown_table
from leakysm.training.test_result import Form


@dataclass(frozen=True)
class SweepResult:
    """The runs of a sweep: the states of all, and what the finished ones hold."""

    states: Mapping[Point, State]
    finished: dict[Point, FinishedRun]

    def forms(self) -> list[Form]:
        """Way and shot in words, queries and episodes of each kind of test, in the order of the runs."""
        return list(dict.fromkeys(test.form for run in self.finished.values() for test in run.tests))

    def settings(self) -> list[str]:
        """The labels of the settings, in the order of the runs."""
        return list(dict.fromkeys(point.setting for point in self.states))

    def accuracies(self, setting: str, form: Form) -> list[float]:
        """Accuracies of a setting in percent, one for each finished seed."""
        runs = [run for point, run in self.finished.items() if point.setting == setting]
        return [test.accuracy for run in runs for test in run.tests if test.form == form]


def read_results(states: Mapping[Point, State], out: Path) -> SweepResult:
    """Read the finished runs back from their folders in `out`; one that cannot be read counts as failed."""
    checked, finished = dict(states), {}
    for point, state in states.items():
        if state.status == FINISHED:
            try:
                finished[point] = read_run(out / point.folder)
            except UserError as error:
                checked[point] = State(FAILED, str(error))
    return SweepResult(checked, finished)


def to_json(sweep: SweepResult) -> dict[str, Any]:
    """Plain values for JSON; accuracies and intervals in percent, Student's intervals over the seeds."""
    runs = []
    for point, state in sweep.states.items():
        entry: dict[str, Any] = {"setting": point.setting, "seed": point.config.seed, "folder": point.folder}
        entry |= {"status": state.status, "error": state.error}
        if point in sweep.finished:
            entry["tests"] = [
                {"way": t.way, "shot": t.shot, "accuracy": t.accuracy, "interval": t.interval, "episodes": t.episodes}
                for t in sweep.finished[point].tests
            ]
        runs.append(entry)
    settings = [
        {"setting": name, "test": form[0], "accuracy": over.mean, "interval": over.interval, "seeds": over.n}
        for form in sweep.forms()
        for name, over in _over_seeds(sweep, form)
    ]
    return {"settings": settings, "runs": runs}


def markdown(sweep: SweepResult) -> str:
    """A table for each test, the settings from the best to the worst; then what failed."""
    lines = ["Accuracy in percent, mean over the seeds; interval: 95 %, Student's t, none from fewer than 3 seeds.\n"]
    for form in sweep.forms():
        name, query, episodes = form
        ranked = sorted(_over_seeds(sweep, form), key=lambda item: -item[1].mean)
        rows = [[label, with_interval(over.mean, over.interval), str(over.n)] for label, over in ranked]
        lines.append(f"## {name} ({query} queries a class, {episodes} test episodes)\n")
        lines.append(markdown_table(("setting", "accuracy", "seeds"), rows))
    failed = [(point, state) for point, state in sweep.states.items() if state.error]
    if failed:
        rows = [[point.setting, str(point.config.seed), state.error or ""] for point, state in failed]
        lines.append("## Failed\n")
        lines.append(markdown_table(("setting", "seed", "why"), rows))
    return "\n".join(lines)


def _over_seeds(sweep: SweepResult, form: Form) -> list[tuple[str, Paired]]:
    values = [(name, sweep.accuracies(name, form)) for name in sweep.settings()]
    return [(name, paired(accuracies)) for name, accuracies in values if accuracies]


@dataclass(frozen=True)
class Grid:
    """Accuracies of the leaky distance (per pair) in one test, in percent.

    means, intervals: (thresholds, slopes) float64, over the seeds and whatever else varies; NaN where nothing is
    finished, or too few seeds are.
    """

    thresholds: list[float]
    slopes: list[float]
    means: plots.Floats
    intervals: plots.Floats

    @classmethod
    def of(cls, cells: Mapping[tuple[float, float], tuple[float, float | None]]) -> Grid | None:
        """From mean and interval by threshold and slope. None without two of each, or where nothing is finished."""
        thresholds, slopes = (sorted({place[i] for place in cells}) for i in range(2))
        means, intervals = (
            np.array([[cells.get((t, s), (np.nan, None))[i] for s in slopes] for t in thresholds], np.float64)
            for i in range(2)
        )
        return None if min(means.shape) < 2 or np.isnan(means).all() else cls(thresholds, slopes, means, intervals)

    @property
    def span(self) -> tuple[float, float]:
        """What the colours span: from the lowest end of an interval to the highest, at least 2 points.

        So a difference that may be chance is no contrast.
        """
        around = np.where(np.isnan(self.intervals), 0, self.intervals)
        low, high = float(np.nanmin(self.means - around)), float(np.nanmax(self.means + around))
        wider = max(0.0, 2 - (high - low)) / 2
        return low - wider, high + wider


def grid(sweep: SweepResult, form: Form) -> Grid | None:
    """The grid of one test."""
    leaky = [p for p in sweep.states if p.config.distance == "leaky" and p.config.per == "pair"]
    values: dict[tuple[float, float], list[float]] = {}
    for point in leaky:
        place = point.config.threshold or 0.0, point.config.slope or 0.0
        tests = sweep.finished[point].tests if point in sweep.finished else ()
        values.setdefault(place, []).extend(test.accuracy for test in tests if test.form == form)
    over = {place: paired(accuracies) if accuracies else None for place, accuracies in values.items()}
    return Grid.of({place: (found.mean, found.interval) if found else (np.nan, None) for place, found in over.items()})


def heat_map(sweep: SweepResult) -> bytes | None:
    """A PNG file: mean accuracy of the leaky distance (per pair) over threshold and slope, with a panel for each test.

    The other distances stand below. None without a grid of both threshold and slope.
    """
    grids = [(form, found) for form in sweep.forms() if (found := grid(sweep, form))]
    if not grids:
        return None
    rows, columns = grids[0][1].means.shape
    figure, axes = plots.new_figure(1, len(grids), width=2.6 + 0.9 * columns, height=2.6 + 0.6 * rows)
    for axis, (form, found) in zip(axes, grids, strict=True):
        plots.panel(axis, f"{form[0]} test", _others(sweep, form), "threshold")
        _cells(axis, found)
        figure.colorbar(axis.images[0], ax=axis, label="accuracy [%], mean ± 95 % interval")
    form, found = grids[0]
    best = np.unravel_index(np.nanargmax(found.means), found.means.shape)
    setting = f"threshold {found.thresholds[best[0]]:g} and slope {found.slopes[best[1]]:g}"
    words = with_interval(found.means[best], None if np.isnan(found.intervals[best]) else found.intervals[best])
    plots.finding(figure, f"{form[0]} accuracy is highest at {setting}: {words} %")
    return plots.png(figure)


def _others(sweep: SweepResult, form: Form) -> str:
    """The label of the x axis, and below it the distances beside the grid."""
    others = [(name, over) for name, over in _over_seeds(sweep, form) if not name.startswith("leaky")]
    return "slope\n" + "".join(f"\n{name}: {with_interval(over.mean, over.interval)}" for name, over in others)


def _cells(axis: Any, grid: Grid) -> None:
    """A coloured cell for each threshold and slope, with its numbers; a frame around the best."""
    low, high = grid.span
    axis.imshow(np.ma.masked_invalid(grid.means), aspect="auto", origin="lower", cmap="viridis", vmin=low, vmax=high)
    axis.set_xticks(range(len(grid.slopes)), [f"{slope:g}" for slope in grid.slopes])
    axis.set_yticks(range(len(grid.thresholds)), [f"{threshold:g}" for threshold in grid.thresholds])
    axis.grid(visible=False)
    best = np.nanmax(grid.means)
    for (row, column), value in np.ndenumerate(grid.means):
        if np.isnan(value):
            continue
        interval = grid.intervals[row, column]
        shown = f"{value:.1f}" + ("" if np.isnan(interval) else f"\n± {interval:.1f}")
        colour = "white" if value < low + 0.6 * (high - low) else "black"
        axis.text(column, row, shown, ha="center", va="center", color=colour, fontsize=9)
        if value == best:
            axis.add_patch(_frame(column, row, colour))


def _frame(column: int, row: int, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, lw=2, edgecolor=colour)
