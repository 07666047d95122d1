"""The results of a sweep: a table of settings over seeds, every run in JSON, a heat map over threshold and slope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

Form = tuple[str, int, int]


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


def heat_map(sweep: SweepResult) -> bytes | None:
    """A PNG file: mean accuracy of the leaky distance (per pair) over threshold and slope, with a panel for each test.

    The other distances stand in the titles. None without a grid of both threshold and slope.
    """
    leaky = [p for p in sweep.states if p.config.distance == "leaky" and p.config.per == "pair"]
    thresholds, slopes = (sorted({getattr(p.config, key) for p in leaky}) for key in ("threshold", "slope"))
    forms = sweep.forms()
    if len(thresholds) < 2 or len(slopes) < 2 or not forms:
        return None
    figure, axes = plots.new_figure(1, len(forms), width=1.6 + 0.8 * len(slopes), height=1.6 + 0.5 * len(thresholds))
    for axis, form in zip(axes, forms, strict=True):
        _panel(axis, _means(sweep, leaky, form, thresholds, slopes), thresholds, slopes)
        others = [(name, over) for name, over in _over_seeds(sweep, form) if not name.startswith("leaky")]
        beside = "".join(f"\n{name}: {over.mean:.1f}" for name, over in others)
        axis.set_title(f"{form[0]} accuracy, mean over seeds [%]{beside}", fontsize=9)
    return plots.png(figure)


def _means(
    sweep: SweepResult, leaky: Sequence[Point], form: Form, thresholds: Sequence[float], slopes: Sequence[float]
) -> plots.Floats:
    """Mean over seeds and whatever else varies, (thresholds, slopes) float64; NaN where nothing is finished."""
    values: dict[tuple[int, int], list[float]] = {}
    for point in leaky:
        place = thresholds.index(point.config.threshold or 0.0), slopes.index(point.config.slope or 0.0)
        tests = sweep.finished[point].tests if point in sweep.finished else ()
        values.setdefault(place, []).extend(test.accuracy for test in tests if test.form == form)
    means = np.full((len(thresholds), len(slopes)), np.nan)
    for place, accuracies in values.items():
        if accuracies:
            means[place] = np.mean(accuracies)
    return means


def _panel(axis: Any, means: plots.Floats, thresholds: Sequence[float], slopes: Sequence[float]) -> None:
    axis.imshow(np.ma.masked_invalid(means), aspect="auto", origin="lower", cmap="viridis")
    axis.set_xticks(range(len(slopes)), [f"{slope:g}" for slope in slopes])
    axis.set_yticks(range(len(thresholds)), [f"{threshold:g}" for threshold in thresholds])
    axis.set_xlabel("slope")
    axis.set_ylabel("threshold")
    middle = np.nanmean(means) if np.isfinite(means).any() else 0.0
    for (row, column), value in np.ndenumerate(means):
        shown = "" if np.isnan(value) else f"{value:.1f}"
        axis.text(column, row, shown, ha="center", va="center", color="black" if value > middle else "white")
