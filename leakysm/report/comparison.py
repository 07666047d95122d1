"""The page of a comparison: paired differences with intervals, accuracies, learning curves."""

from __future__ import annotations

from pathlib import Path

from leakysm import plots
from leakysm.experiments.finished import read_finished_metrics
from leakysm.experiments.intervals import differences_in_words
from leakysm.files import printable
from leakysm.report.charts import learning_curves
from leakysm.report.html import Html, join, plus_minus, table, tag
from leakysm.report.page import INTERVALS, Page, begun
from leakysm.report.stored import ComparedSetting, ComparedTest, StoredComparison, read_stored
from leakysm.runs import RunFolder


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
    differences = {one.setting: (one.difference or 0.0, one.difference_interval) for one in test.settings[1:]}
    form = f"{test.way}-way {test.shot}-shot test"
    return f"{differences_in_words(form, stored.baseline, differences, stored.seeds)}."


def _differences(test: ComparedTest) -> Html:
    """A bar for each interval, on one scale, with a line at 0."""
    others = test.settings[1:]
    ends = [abs(one.difference or 0) + (one.difference_interval or 0) for one in others]
    most = max([*ends, 0.1]) * 1.05
    rows = []
    for one, style in zip(others, plots.styles([s.setting for s in test.settings])[1:], strict=True):
        p = ["" if value is None else f"{value:.2g}" for value in (one.p_value, one.p_holm)]
        words = plus_minus(one.difference or 0, one.difference_interval, sign="+")
        rows.append([one.setting, join([words, _bar(one, style, most)]), *p])
    header = ("setting", f"difference, drawn from {-most:.1f} to {most:.1f}", "p", "p (Holm)")
    n = len(header) if any(one.p_holm is not None for one in others) else len(header) - 1  # older files lack it
    return table(header[:n], [row[:n] for row in rows], numbers=range(2, n))


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
    seeds = plots.seeds_in_words(len(stored.seeds))
    note = f"{seeds}. leakysm report RUN shows one of the runs, with sliders."
    page.section("Learning curves", tag("p", note, class_="note"))
    settings = stored.tests[0].settings
    paths = {one.setting: [_run_folder(folder, net.run) for net in one.seeds] for one in settings}
    missing = [path for runs in paths.values() for path in runs if not RunFolder(path).metrics.exists()]
    if missing:
        page.missing(f"No curves: {printable(missing[0])} holds no metrics.csv.")
        return
    learning_curves(page, {label: [read_finished_metrics(path) for path in runs] for label, runs in paths.items()})


def _run_folder(folder: Path, stated: str) -> Path:
    """The folder of a run: as comparison.json names it, or under that name within the comparison's folder."""
    path = Path(stated)
    inside = folder.joinpath(*path.parts[-2:])
    return inside if RunFolder(inside).config.exists() else path
