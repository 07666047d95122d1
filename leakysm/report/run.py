"""The page of a run: results, curves, the effect to play with, an episode, the worst classes, the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from leakysm.backends import Engine
from leakysm.choices import SETTINGS
from leakysm.data import ClassSet, Dataset
from leakysm.data.dataset import Report
from leakysm.episodes import EpisodeForm
from leakysm.errors import UserError
from leakysm.experiments.finished import FinishedRun, read_finished_metrics, read_run
from leakysm.experiments.settings import METRIC_KEYS, label
from leakysm.report.charts import learning_curves
from leakysm.report.effect import effect_section
from leakysm.report.episodes import EPISODES, PAIRS, Answers, Classifier, Worst, class_image, to_play_with
from leakysm.report.html import Html, image, join, plus_minus, table, tag
from leakysm.report.page import Page, begun
from leakysm.runs import Restored, RunFolder, TestResult, restore
from leakysm.runs.resolve import load_data, require_data_of

WAY, SHOT, QUERY = 10, 5, 10  # of an episode, shown at most
WORST, NEAREST = 10, 3


def run_page(path: Path, engine: Engine, data: Path | None, report: Report, *, trust: bool) -> Page:
    """The page of a finished run. data: where its images are, if not where config.toml says.

    trust: whether the code of the run's own formula may be run. What needs files that are missing (the metrics, the
    net, the images), or code that is not trusted, is left out, and the page says so. UserError if the run is not
    finished, a file of it is damaged, or the images are not in `data`.
    """
    run = read_run(path)
    config = run.config
    page = begun(f"{config.dataset}, {config.way}-way {config.shot}-shot, {_label(run)}", _finding(run.tests))
    page.section("Results", results_table(run.tests))
    _curves(page, run)
    _net(page, run, engine, data, report, trust=trust)
    page.section("Settings", _settings(run))
    return page


def _label(run: FinishedRun) -> str:
    """The distance with its parameters, as a comparison names it."""
    settings = run.config.settings()
    return label({key: settings[key] for key in METRIC_KEYS if key in settings})


def _finding(tests: tuple[TestResult, ...]) -> str:
    hardest = max(tests, key=lambda test: test.way)
    words = plus_minus(hardest.accuracy, hardest.interval)
    return f"{hardest.name}: {words} % of the queries are right; guessing would give {100 / hardest.way:.0f} %."


def results_table(tests: tuple[TestResult, ...]) -> Html:
    """All tests of a trained net in one table."""
    rows = [
        [t.name, plus_minus(t.accuracy, t.interval), f"{100 / t.way:.0f}", str(t.query), str(t.episodes)]
        for t in sorted(tests, key=lambda test: (test.way, test.shot))
    ]
    header = ("test", "accuracy [%]", "chance [%]", "queries a class", "episodes")
    note = "±: the 95 % interval over the test episodes. It describes this one net; another seed gives another net."
    return join([table(header, rows, numbers=range(1, 5)), tag("p", note, class_="note")])


def _curves(page: Page, run: FinishedRun) -> None:
    """The whole run, and its first steps."""
    page.section("Learning curves")
    if not RunFolder(run.path).metrics.exists():
        page.missing("The folder holds no metrics.csv, so there are no curves.")
        return
    learning_curves(page, {_label(run): [read_finished_metrics(run.path)]})


def _net(page: Page, run: FinishedRun, engine: Engine, data: Path | None, report: Report, *, trust: bool) -> None:
    """What only the trained net on its images can show."""
    if not RunFolder(run.path).tested().exists() or run.config.net:
        why = f"the net {run.config.net}, which was made in Python" if run.config.net else "no checkpoint"
        page.missing(f"The folder holds {why}, so there is no episode and there are no sliders.")
        return
    restored = restore(run.path, engine, trust=trust)
    settings = run.config.settings() | ({"data": str(data.absolute())} if data else {})
    try:
        images = load_data(settings)
    except UserError as error:
        if data:
            raise
        mend = "; if they have moved, say where with --data FOLDER" if "data" in settings else ""
        page.missing(f"The images could not be read, so there is no episode and there are no sliders: {error}{mend}")
        return
    require_data_of(run.path, data or settings.get("data", run.config.dataset), images.digest, run.data_digest)
    if run.config.way**2 > PAIRS:
        page.missing(f"There are no sliders, because episodes of {run.config.way} classes are too large for this page.")
    else:
        effect_section(page, restored.config, to_play_with(restored, images))
    try:
        _ = restored.config.metric
    except UserError as error:  # somebody's own formula
        page.missing(f"The page shows no test episode: {error}")
        return
    _tested(page, restored, images, report)


def _tested(page: Page, run: Restored, data: Dataset, report: Report) -> None:
    """One test episode, and the worst classes of many."""
    config, tested, ink = run.config, Classifier(run, data, report), data.inputs.ink
    ways = sorted(config.test_way)
    answers = tested.answers(EpisodeForm(ways[0], config.test_shot, config.test_query))
    page.section("An episode", *_episode(answers, tested.classes, ink=ink))
    episodes = min(EPISODES, config.test_episodes)
    worst = tested.worst(EpisodeForm(ways[-1], config.test_shot, config.test_query), episodes, report)
    page.section("The worst classes", *_worst(worst, tested.classes, f"{ways[-1]}-way", episodes, ink=ink))


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
        f"Test episode 0, {form.way}-way {form.shot}-shot: {right} queries are right. Each row is a class: its "
        "support left of the line, queries right of it. Below each query is the probability of the net's answer. A "
        "dashed frame marks a wrong answer, and names its class."
    )
    if form.query > QUERY:
        note += f" The first {QUERY} of {form.query} queries of a class are drawn."
    parts = [tag("p", note, class_="note"), tag("div", *rows, class_="classes")]
    if wrong.any():
        parts += [
            tag("h3", f"{_first(WORST, int(wrong.sum()))}, and their nearest prototypes"),
            _nearest(answers, classes, names, wrong, ink),
        ]
    return parts


def _first(shown: int, wrong: int) -> str:
    return f"The first {shown} of {wrong} wrong ones" if wrong > shown else "The wrong ones"


def _nearest(answers: Answers, classes: ClassSet, names: list[str], wrong: np.ndarray, ink: bool) -> Html:
    """The classes nearest to each wrong query: an example, the probability and the distance."""
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
    note = f"The first {episodes} {way} test episodes, which contain {len(worst)} classes."
    return [tag("p", note, class_="note"), table(("class", "queries right", "most often taken for"), rows)]


def _settings(run: FinishedRun) -> Html:
    rows = [[key, _value(value), SETTINGS[key].help] for key, value in run.config.settings().items()]
    return table(("setting", "value", "meaning"), rows)


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
