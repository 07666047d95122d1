"""The page of a sweep: the settings from the best to the worst, a heat map over threshold and slope, what failed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from leakysm.experiments.sweep.report import Grid
from leakysm.report.html import Html, plus_minus, table, tag
from leakysm.report.page import INTERVALS, Page, begun
from leakysm.report.stored import StoredSweep, SweptSetting, read_stored

NUMBER = r"(inf|\d*\.?\d+(?:e[+-]?\d+)?)"
LEAKY = re.compile(f"leaky,threshold={NUMBER},slope={NUMBER}")


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
    leaky = [(match, one) for one in settings if (match := LEAKY.fullmatch(one.setting))]
    return Grid.of({(float(match[1]), float(match[2])): (one.accuracy, one.interval) for match, one in leaky})


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
        f"Leaky distance. Framed: the highest. The colours span all intervals, {low:.1f} to {high:.1f} %: "
        "differences that may be chance look alike."
    )
    parts = tag("table", tag("thead", head), tag("tbody", *rows), class_="heat")
    return tag("div", parts, tag("p", note, class_="note"), class_="wide")
