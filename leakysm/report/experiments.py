"""The pages of a comparison, a sweep and an early-gradients experiment."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from leakysm import plots
from leakysm.experiments.finished import read_finished_metrics
from leakysm.experiments.gradients.plots import vanished_in_words
from leakysm.experiments.student import LEAST
from leakysm.experiments.sweep.report import Grid
from leakysm.report.html import Html, legend, plus_minus, table, tag
from leakysm.report.page import Page, begun, series, styled
from leakysm.report.run import EARLY_CHARTS, early_chart
from leakysm.report.stored import (
    ComparedSetting,
    ComparedTest,
    StoredComparison,
    StoredGradients,
    StoredSweep,
    SweptSetting,
    read_gradients,
    read_stored,
)
from leakysm.runs import RunFolder
from leakysm.runs.curves import smoothed

LEAKY = re.compile(r"leaky,threshold=([^,]+),slope=([^,]+)")
INTERVALS = f"Intervals: 95 %, Student's t over the training seeds; none from fewer than {LEAST}."


def comparison_page(folder: Path) -> Page:
    """Paired differences with intervals, accuracies, learning curves. UserError if comparison.json is damaged."""
    stored = read_stored(folder / "comparison.json", StoredComparison)
    n = len(stored.seeds)
    title = f"{stored.dataset}: {len(stored.tests[0].settings)} settings compared over {n} seed{'s' * (n > 1)}"
    page = begun(title, _verdict(stored))
    page.section(
        "Differences",
        tag("p", f"Accuracy minus that of {stored.baseline}, in percentage points. {INTERVALS}", class_="note"),
    )
    for test in stored.tests:
        page.add(tag("h3", _test_name(test)), _differences(test))
    page.section("Accuracy")
    for test in stored.tests:
        page.add(tag("h3", _test_name(test)), _accuracies(test))
    _curves(page, folder, stored)
    return page


def _test_name(test: ComparedTest) -> str:
    return f"{test.way}-way {test.shot}-shot test, {test.episodes} episodes; chance: {100 / test.way:.0f} %"


def _verdict(stored: StoredComparison) -> str:
    test = stored.tests[0]
    one = max(test.settings[1:], key=lambda setting: abs(setting.difference or 0))
    words = plus_minus(one.difference or 0, one.difference_interval, sign="+")
    if one.difference_interval is None:
        doubt = f"; fewer than {LEAST} seeds say nothing of chance"
    else:
        doubt = "; it may be chance" if abs(one.difference or 0) <= one.difference_interval else ""
    return f"{test.way}-way {test.shot}-shot: {one.setting} {words} points against {stored.baseline}{doubt}."


def _differences(test: ComparedTest) -> Html:
    """A bar for each interval, on one scale, with a line at 0."""
    others = test.settings[1:]
    ends = [abs(one.difference or 0) + (one.difference_interval or 0) for one in others]
    most = max([*ends, 0.1]) * 1.05
    rows = []
    for one, style in zip(others, plots.styles([s.setting for s in test.settings])[1:], strict=True):
        p = "" if one.p_value is None else f"{one.p_value:.2g}"
        words = plus_minus(one.difference or 0, one.difference_interval, sign="+")
        rows.append([one.setting, words, p, _bar(one, style, most)])
    return table(("setting", "difference", "p", f"from {-most:.1f} to {most:.1f} points"), rows, numbers=(1, 2))


def _bar(one: ComparedSetting, style: plots.Style, most: float) -> Html:
    def at(points: float) -> float:
        return 50 + 50 * points / most

    mean, around = one.difference or 0.0, one.difference_interval or 0.0
    low, high = at(mean - around), at(mean + around)
    zero, bar = '<i style="left:50%"></i>', f'<b style="left:{low:.2f}%;width:{high - low:.2f}%"></b>'
    inside = Html(f'{zero}{bar}<u style="left:{at(mean):.2f}%"></u>')
    return tag("div", inside, class_=f"interval m-{style.metric}")


def _accuracies(test: ComparedTest) -> Html:
    seeds = [f"seed {one.seed}" for one in test.settings[0].seeds]
    rows = [
        [one.setting, plus_minus(one.accuracy, one.interval), *(f"{net.accuracy:.2f}" for net in one.seeds)]
        for one in test.settings
    ]
    return table(("setting", "mean [%]", *seeds), rows, numbers=range(1, 2 + len(seeds)))


def _curves(page: Page, folder: Path, stored: StoredComparison) -> None:
    """Learning curves and early gradients of the runs, where their folders are still there."""
    page.section("Learning curves")
    settings = stored.tests[0].settings
    paths = {one.setting: [_run_folder(folder, net.run) for net in one.seeds] for one in settings}
    missing = [path for runs in paths.values() for path in runs if not RunFolder(path).metrics.exists()]
    if missing:
        page.missing(f"No curves: {missing[0]} holds no metrics.csv.")
        return
    read = {label: [read_finished_metrics(path) for path in runs] for label, runs in paths.items()}
    keys = styled([one.setting for one in settings])
    shared = min(len(rows["episode"]) for runs in read.values() for rows in runs)
    lines, validated = [], []
    for label, style in keys:
        pairs = [smoothed(rows["episode"][:shared], 100 * rows["accuracy"][:shared]) for rows in read[label]]
        lines.append(series(pairs[0][0], np.stack([y for _, y in pairs]), style, label))
        there = [np.isfinite(rows["validation_accuracy"][:shared]) for rows in read[label]]
        if there[0].sum() > 1 and all((one == there[0]).all() for one in there):
            values = np.stack([100 * rows["validation_accuracy"][:shared][there[0]] for rows in read[label]])
            validated.append(series(read[label][0]["episode"][:shared][there[0]], values, style, label, marks=True))
    charts = [
        page.chart("Accuracy in training, moving mean", {"x": "training episode", "y": "% right", "series": lines})
    ]
    if validated:
        charts.append(
            page.chart("Accuracy in validation", {"x": "training episode", "y": "% right", "series": validated})
        )
    note = f"{plots.seeds_in_words(len(stored.seeds))}. leakysm report RUN shows one run, with the effect to play with."
    page.add(tag("p", note, class_="note"), legend(keys), tag("div", *charts, class_="charts"))
    figures = {
        name: [np.stack([rows[name][:shared] for rows in read[label]]) for label, _ in keys]
        for name, *_ in EARLY_CHARTS
    }
    page.section("Early gradients", legend(keys), tag("div", *_early(page, keys, figures), class_="charts"))


def _run_folder(folder: Path, stated: str) -> Path:
    """The folder of a run: as comparison.json names it, or under that name within the comparison's folder."""
    path = Path(stated)
    inside = folder.joinpath(*path.parts[-2:])
    return inside if RunFolder(inside).config.exists() else path


def _early(page: Page, keys: list[tuple[str, plots.Style]], figures: dict[str, list[plots.Floats]]) -> list[Html]:
    """Charts of the first 200 steps. figures: (seeds, steps) for each setting, by column."""
    charts = []
    for name, title, part, spec in EARLY_CHARTS:
        lines = [(label, style, part * y[:, :200]) for (label, style), y in zip(keys, figures[name], strict=True)]
        x = np.arange(lines[0][2].shape[1], dtype=np.float64)
        charts.append(early_chart(page, title, x, lines, **spec))
    return charts


def gradients_page(folder: Path) -> Page:
    """The first steps of all settings. UserError if gradients.json or gradients.csv is damaged."""
    stored = read_stored(folder / "gradients.json", StoredGradients)
    figures = read_gradients(folder / "gradients.csv", stored)
    labels = [one.setting for one in stored.settings]
    config = stored.settings[0].config
    title = (
        f"{config.get('dataset')}, {config.get('way')}-way {config.get('shot')}-shot: the first {stored.steps} steps"
    )
    page = begun(title, vanished_in_words(labels, figures["vanished_distance_gradients"][:, :, 0]) + ".")
    keys = styled(labels)
    note = (
        f"{plots.seeds_in_words(len(stored.seeds))}. All settings start at the same weights, and see the same episodes."
    )
    page.section("First steps", tag("p", note, class_="note"), legend(keys))
    page.add(tag("div", *_early(page, keys, {name: list(values) for name, values in figures.items()}), class_="charts"))
    for words, step in (("At the first step", 0), (f"At step {stored.steps - 1}", stored.steps - 1)):
        page.section(words, _at_step(labels, figures, step))
    return page


def _at_step(labels: list[str], figures: dict[str, plots.Floats], step: int) -> Html:
    rows = []
    for name, title, part, spec in EARLY_CHARTS:
        means = part * figures[name][:, :, step].mean(axis=1)
        rows.append([title, spec["y"], *(f"{mean:.4g}" for mean in means)])
    return table(("mean over the seeds", "", *labels), rows, numbers=range(2, 2 + len(labels)))


def sweep_page(folder: Path) -> Page:
    """Settings ranked for each test, a heat map over threshold and slope, and what failed."""
    stored = read_stored(folder / "sweep.json", StoredSweep)
    failed = [run for run in stored.runs if run.error]
    tests = list(dict.fromkeys(one.test for one in stored.settings))
    title = f"Sweep of {len({run.setting for run in stored.runs})} settings, {len(stored.runs)} runs"
    page = begun(title, _best(stored, tests))
    for test in tests:
        ranked = sorted((one for one in stored.settings if one.test == test), key=lambda one: -one.accuracy)
        page.section(f"{test} test", tag("p", f"Accuracy in percent, mean over the seeds. {INTERVALS}", class_="note"))
        if found := grid_of(ranked):
            page.add(_heat_map(found))
        rows = [[one.setting, plus_minus(one.accuracy, one.interval), str(one.seeds)] for one in ranked]
        page.add(table(("setting", "accuracy [%]", "seeds"), rows, numbers=(1, 2)))
    if failed:
        page.section(
            "Failed runs", table(("setting", "seed", "why"), [[r.setting, str(r.seed), r.error or ""] for r in failed])
        )
    return page


def _best(stored: StoredSweep, tests: list[str]) -> str:
    if not tests:
        return "No run has finished."
    best = max((one for one in stored.settings if one.test == tests[0]), key=lambda one: one.accuracy)
    return f"{tests[0]}: {best.setting} is the most accurate, {plus_minus(best.accuracy, best.interval)} %."


def grid_of(settings: list[SweptSetting]) -> Grid | None:
    """Threshold by slope, of the settings that differ in nothing else. None without two of each."""
    cells = {}
    for one in settings:
        if match := LEAKY.fullmatch(one.setting):
            cells[float(match[1]), float(match[2])] = one
    thresholds, slopes = (sorted({place[i] for place in cells}) for i in range(2))
    if len(thresholds) < 2 or len(slopes) < 2:
        return None
    means, intervals = (np.full((len(thresholds), len(slopes)), np.nan) for _ in range(2))
    for (t, s), one in cells.items():
        place = thresholds.index(t), slopes.index(s)
        means[place], intervals[place] = one.accuracy, np.nan if one.interval is None else one.interval
    return Grid(thresholds, slopes, means, intervals)


def _heat_map(grid: Grid) -> Html:
    """A cell for each threshold and slope; the deeper its colour, the more accurate."""
    low, high = grid.span
    head = tag("tr", tag("th", "threshold \\ slope"), *(tag("th", f"{slope:g}") for slope in grid.slopes))
    rows = []
    for i, threshold in enumerate(grid.thresholds):
        cells = []
        for mean, interval in zip(grid.means[i], grid.intervals[i], strict=True):
            if np.isnan(mean):
                cells.append(tag("td", ""))
                continue
            part = f"--part:{100 * (mean - low) / (high - low):.0f}%"
            words = plus_minus(mean, None if np.isnan(interval) else interval)
            best = {"class_": "best"} if mean == np.nanmax(grid.means) else {}
            cells.append(tag("td", words, style=part, **best))
        rows.append(tag("tr", tag("th", f"{threshold:g}"), *cells))
    note = (
        f"Leaky distance. Framed: the highest. The colours span {low:.1f} to {high:.1f} %, which is all intervals: "
        "what may be chance is no contrast."
    )
    parts = tag("table", tag("thead", head), tag("tbody", *rows), class_="heat")
    return tag("div", parts, tag("p", note, class_="note"), class_="wide")
