"""The page of a run: results, curves, the effect to play with, an episode, the worst classes, the settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from leakysm import plots
from leakysm.backends import Engine
from leakysm.choices import SETTINGS
from leakysm.data import ClassSet
from leakysm.episodes import EpisodeForm
from leakysm.errors import UserError
from leakysm.experiments.finished import FinishedRun, read_finished_metrics, read_run
from leakysm.report.effect import effect_section
from leakysm.report.episodes import EPISODES, Answers, Tested, Worst, class_image, to_play_with
from leakysm.report.html import Html, image, join, legend, plus_minus, table, tag
from leakysm.report.page import Page, begun, series
from leakysm.runs import RunFolder, TestResult, restore
from leakysm.runs.curves import EARLY, SURE, smoothed
from leakysm.runs.resolve import load_data
from leakysm.training.sparsity import VANISHED

WAY, SHOT, QUERY = 10, 5, 10  # of an episode, shown at most
WORST, NEAREST = 10, 3
Report = Callable[[int, int], None]


def run_page(path: Path, engine: Engine, data: Path | None, report: Report) -> Page:
    """The page of a finished run. data: where its images are, if not where config.toml says.

    What needs files that are missing (the metrics, the net, the images) is left out, and the page says so. UserError
    if the run is not finished, or a file of it is damaged.
    """
    run = read_run(path)
    config = run.config
    page = begun(f"{config.dataset}, {config.way}-way {config.shot}-shot, {config.metric}", _finding(run.tests))
    page.section("Results", results_table(run.tests))
    _curves(page, run)
    _net(page, run, engine, data, report)
    page.section("Settings", _settings(run))
    return page


def _finding(tests: tuple[TestResult, ...]) -> str:
    hardest = max(tests, key=lambda test: test.way)
    words = plus_minus(hardest.accuracy, hardest.interval)
    return f"{hardest.name}: {words} % of the queries are right; guessing would give {100 / hardest.way:.0f} %."


def results_table(tests: tuple[TestResult, ...]) -> Html:
    """All tests of a trained net in one table."""
    rows = [
        [t.name, f"{t.accuracy:.2f}", f"± {t.interval:.2f}", f"{100 / t.way:.0f}", str(t.query), str(t.episodes)]
        for t in sorted(tests, key=lambda test: (test.way, test.shot))
    ]
    header = ("test", "accuracy [%]", "95 % interval", "chance [%]", "queries a class", "episodes")
    note = "The interval is over the test episodes. It describes this one trained net; another seed gives another net."
    return join([table(header, rows, numbers=range(1, 6)), tag("p", note, class_="note")])


def _curves(page: Page, run: FinishedRun) -> None:
    """The whole run, and its first steps."""
    page.section("Learning curves")
    if not RunFolder(run.path).metrics.exists():
        page.missing("The folder holds no metrics.csv, so there are no curves.")
        return
    rows = read_finished_metrics(run.path)
    style = plots.styles([str(run.config.metric)])[0]
    x, whole = smoothed(rows["episode"], rows["loss"])
    charts = [
        page.chart(
            "Loss, moving mean", {"x": "training episode", "y": "loss", "series": [series(x, whole, style, "loss")]}
        )
    ]
    x, accuracy = smoothed(rows["episode"], 100 * rows["accuracy"])
    lines = [series(x, accuracy, style, "training")]
    there = np.isfinite(rows["validation_accuracy"])
    if there.any():
        grey = plots.Style("squared-euclidean", 0, plots.DASHES[1])
        y = 100 * rows["validation_accuracy"][there]
        lines.append(series(rows["episode"][there], y, grey, "validation", marks=True))
    keys = [("training, moving mean", style), *([("validation, on other classes", grey)] if there.any() else [])]
    charts.append(page.chart("Accuracy", {"x": "training episode", "y": "% right", "series": lines}))
    page.add(legend(keys), tag("div", *charts, class_="charts"))
    n = len(rows["episode"])
    first = f"the first {EARLY} of {n:,} steps" if n > EARLY else f"all {n} steps"
    early = [
        early_chart(
            page, title, rows["episode"][:EARLY], [(str(run.config.metric), style, part * rows[name][:EARLY])], **spec
        )
        for name, title, part, spec in EARLY_CHARTS
        if name in rows
    ]
    page.section(
        "Early gradients", tag("p", f"Shown: {first}, for the effect is early. {SURE.capitalize()}.", class_="note")
    )
    page.add(tag("div", *early, class_="charts"))


EARLY_CHARTS: tuple[tuple[str, str, int, dict[str, Any]], ...] = (  # a column, what it shows, its factor, its axis
    ("vanished_distance_gradients", "Gradient entries that have vanished", 100,
     {"y": f"% of dL/dd below {VANISHED}", "least": 0, "most": 100}),
    ("mean_max_probability", "How sure the net is", 1, {"y": "largest probability", "least": 0, "most": 1}),
    ("mean_distance", "Distance to a prototype", 1, {"y": "mean distance", "log": True}),
    ("mean_query_gradient", "Length of a query's gradient", 1, {"y": "mean |dL/dz|", "log": True}),
)  # fmt: skip
LONGER = "No contradiction where this is longer with large distances: few entries are alive, but each pulls hard."


def early_chart(
    page: Page, title: str, x: plots.Floats, lines: list[tuple[str, plots.Style, plots.Floats]], **spec: Any
) -> Html:
    """A figure of the first steps, a line for each setting."""
    found = [series(x, y, style, label) for label, style, y in lines]
    note = LONGER if "dL/dz" in spec["y"] else ""
    return page.chart(title, {"x": "training step", "series": found, **spec}, note)


def _net(page: Page, run: FinishedRun, engine: Engine, data: Path | None, report: Report) -> None:
    """What only the trained net on its images can show."""
    if not RunFolder(run.path).tested().exists():
        page.missing(
            "The folder holds no checkpoint: without the trained net there is no episode and nothing to play with."
        )
        return
    restored = restore(run.path, engine)
    settings = run.config.settings() | ({"data": str(data.absolute())} if data else {})
    try:
        images = load_data(settings)
    except UserError as error:
        page.missing(f"The images could not be read, so there is no episode and nothing to play with: {error}")
        return
    if images.digest != run.data_digest:
        raise UserError(
            f"{data or settings.get('data', run.config.dataset)}: not the data of {run.path} (checksum "
            f"{images.digest[:12]}, expected {run.data_digest[:12]}); give the same data with --data"
        )
    effect_section(page, run.config, to_play_with(restored, images))
    tested = Tested(restored, images)
    config = run.config
    ways = sorted(config.test_way)
    answers = tested.answers(EpisodeForm(ways[0], config.test_shot, config.test_query))
    page.section("An episode", *_episode(answers, tested.classes, ink=images.inputs.ink))
    episodes = min(EPISODES, config.test_episodes)
    worst = tested.worst(EpisodeForm(ways[-1], config.test_shot, config.test_query), episodes, report)
    page.section(
        "The worst classes", *_worst(worst, tested.classes, f"{ways[-1]}-way", episodes, ink=images.inputs.ink)
    )


def _episode(answers: Answers, classes: ClassSet, *, ink: bool) -> list[Html]:
    """Support and queries class by class; then what the wrong queries were near to."""
    form, episode = answers.form, answers.episode
    names = [classes.names[k] for k in classes.labels[episode.support[:: form.shot]]]
    found = answers.distances.argmin(axis=1)
    wrong = found != episode.query_labels

    def answered(i: int) -> Html:
        name, sure = names[found[i]], f"{100 * answers.probabilities[i, found[i]]:.0f} %"
        pixels = classes.images[episode.query[i]]
        return _shown(pixels, ink, name, f"{name} {sure}" if wrong[i] else sure, "wrong" if wrong[i] else "right")

    rows = []
    for k in range(min(form.way, WAY)):
        shots = episode.support[k * form.shot :][: min(form.shot, SHOT)]
        queries = range(k * form.query, k * form.query + min(form.query, QUERY))
        examples = [_shown(classes.images[i], ink, names[k], names[k]) for i in shots]
        rows.append(tag("div", tag("div", *examples, class_="support"), *map(answered, queries), class_="row"))
    right = f"{len(wrong) - int(wrong.sum())} of {len(wrong)}"
    note = (
        f"Test episode 0, {form.way}-way {form.shot}-shot: {right} queries are right. A row is a class: left of the "
        "line its support, right of it queries, each with the probability of the class that the net gives it. A "
        "dashed frame is a wrong answer, and names that class."
    )
    parts = [tag("p", note, class_="note"), tag("div", *rows, class_="classes")]
    if wrong.any():
        parts += [
            tag("h3", "The wrong ones, and their nearest prototypes"),
            _nearest(answers, classes, names, wrong, ink),
        ]
    return parts


def _nearest(answers: Answers, classes: ClassSet, names: list[str], wrong: np.ndarray, ink: bool) -> Html:
    """For each wrong query the nearest classes: an example, the probability and the distance."""
    rows = []
    for i in np.flatnonzero(wrong)[:WORST]:
        own = names[answers.episode.query_labels[i]]
        query = _shown(classes.images[answers.episode.query[i]], ink, own, f"is {own}", "wrong")
        near = []
        for k in np.argsort(answers.distances[i], kind="stable")[:NEAREST]:
            example = classes.images[answers.episode.support[k * answers.form.shot]]
            words = f"{names[k]} {100 * answers.probabilities[i, k]:.0f} %, distance {answers.distances[i, k]:.3g}"
            near.append(_shown(example, ink, names[k], words, "right" if names[k] == own else ""))
        rows.append(tag("div", tag("div", query, class_="support"), *near, class_="row"))
    return tag("div", *rows, class_="classes several")


def _shown(pixels: np.ndarray, ink: bool, name: str, words: str, kind: str = "") -> Html:
    """An image, whose class's name stands in its place where it is not shown, and some words below it."""
    mark = {"wrong": "✗ ", "right": "✓ "}.get(kind, "")
    return tag("div", image(pixels, ink=ink, name=name), f"{mark}{words}", class_=f"shown {kind}".strip())


def _worst(worst: list[Worst], classes: ClassSet, way: str, episodes: int, *, ink: bool) -> list[Html]:
    """The classes with the lowest accuracy."""

    def shown(number: int | None) -> Html | str:
        name = "" if number is None else classes.names[number]
        return "" if number is None else _shown(class_image(classes, number), ink, name, name)

    rows = [
        [shown(one.number), f"{one.accuracy:.0f} % ({one.right} of {one.seen})", shown(one.taken_for)]
        for one in worst[:WORST]
    ]
    note = f"Of the first {episodes} {way} test episodes, in which {len(worst)} classes were seen."
    return [tag("p", note, class_="note"), table(("class", "queries right", "most often taken for"), rows)]


def _settings(run: FinishedRun) -> Html:
    rows = [[key, _value(value), SETTINGS[key].help] for key, value in run.config.settings().items()]
    return table(("setting", "value", "meaning"), rows)


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
