"""A comparison for people: Markdown tables and the picture of the learning curves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakysm import plots
from leakysm.experiments.compare.comparison import Comparison
from leakysm.experiments.finished import read_finished_metrics
from leakysm.experiments.intervals import differences_in_words, with_interval
from leakysm.experiments.student import LEAST
from leakysm.runs import RunFolder
from leakysm.runs.curves import smoothed, validations, window_of
from leakysm.tables import markdown_table
from leakysm.training.test_result import Form

Floats = NDArray[np.float64]
HOLM = "p (Holm): corrected by Holm's method for the number of settings that are compared with the first one in a test."


def markdown(comparison: Comparison) -> str:
    """A section for each test: accuracy and paired difference of every setting, then seed by seed."""
    first = comparison.runs[comparison.labels[0], comparison.seeds[0]].config
    n = len(comparison.seeds)
    lines = [
        f"# {first.dataset}, {first.way}-way {first.shot}-shot training, {first.episodes} episodes\n",
        f"{n} training seed{'s' * (n > 1)}: {', '.join(map(str, comparison.seeds))}. Accuracy: in percent, the mean "
        f"over the seeds. Difference: to {comparison.labels[0]} at the same seed, in percentage points, the mean over "
        f"the seeds. Intervals: 95 %, Student's t over the seeds"
        f"{'' if n >= LEAST else f'; fewer than {LEAST} seeds give none'}.\n",
    ]
    if any(map(comparison.corrected, comparison.forms)):
        lines.append(f"{HOLM}\n")
    for form in comparison.forms:
        name, query, episodes = form
        lines.append(f"## {name} ({query} queries a class, {episodes} test episodes)\n")
        lines.append(_accuracies(comparison, form))
        lines.append("Seed by seed. These intervals are over the test episodes: they describe one trained net each.\n")
        lines.append(_by_seed(comparison, form))
    return "\n".join(lines)


def _accuracies(comparison: Comparison, form: Form) -> str:
    rows, corrected = [], comparison.corrected(form)
    for label in comparison.labels:
        accuracy, difference = comparison.accuracy(label, form), comparison.difference(label, form)
        row = [label, with_interval(accuracy.mean, accuracy.interval), str(accuracy.n)]
        if label == comparison.labels[0]:
            row += ["", "", ""]
        else:
            p = "" if difference.p_value is None else f"{difference.p_value:.2g}"
            holm = f"{corrected[label]:.2g}" if label in corrected else ""
            row += [with_interval(difference.mean, difference.interval, sign="+"), p, holm]
        rows.append(row)
    header = ("setting", "accuracy", "seeds", "difference", "p", "p (Holm)")
    n = len(header) if corrected else len(header) - 1
    return markdown_table(header[:n], [row[:n] for row in rows])


def _by_seed(comparison: Comparison, form: Form) -> str:
    """Each trained net's accuracy, and its difference from the first setting's net of the same seed."""
    rows = []
    for label in comparison.labels:
        tests = [comparison.test(label, seed, form) for seed in comparison.seeds]
        rows.append([label, "accuracy", *(with_interval(test.accuracy, test.interval) for test in tests)])
    for label in comparison.labels[1:]:
        pairs = [comparison.seed_difference(label, seed, form) for seed in comparison.seeds]
        rows.append([label, "difference", *(with_interval(*pair, sign="+") for pair in pairs)])
    return markdown_table(("setting", "", *(f"seed {seed}" for seed in comparison.seeds)), rows)


def without_metrics(comparison: Comparison) -> list[str]:
    """Folders of runs without metrics.csv, such as published ones; their learning curves cannot be drawn."""
    return [str(run.path) for run in comparison.runs.values() if not RunFolder(run.path).metrics.exists()]


def learning_curves(comparison: Comparison) -> bytes:
    """Training accuracy (moving mean), and validation accuracy where every run has two or more. A PNG file."""
    read = {key: read_finished_metrics(run.path) for key, run in comparison.runs.items()}
    validated = all(validations(rows)[0].size > 1 for rows in read.values())
    figure, axes = plots.new_figure(1, 1 + validated, height=3.8)
    for label, style in zip(comparison.labels, plots.styles(comparison.labels), strict=True):
        runs = [read[label, seed] for seed in comparison.seeds]
        _curve(axes[0], style, label, [smoothed(rows["episode"], 100 * rows["accuracy"]) for rows in runs])
        if validated:
            _curve(axes[1], style, label, [validations(rows) for rows in runs])
    window = window_of(min(len(rows["episode"]) for rows in read.values()))
    moving = f"Accuracy in training, moving mean of {window} episode{'s' * (window > 1)}"
    for axis, heading in zip(axes, (moving, "Accuracy in validation"), strict=False):
        plots.panel(axis, heading, "training episode", "% of the queries right")
    plots.finding(figure, differences(comparison))
    first = comparison.runs[comparison.labels[0], comparison.seeds[0]].config
    seeds = plots.seeds_in_words(len(comparison.seeds))
    plots.legend(figure, axes[0], f"{first.dataset}, {first.way}-way {first.shot}-shot training, {seeds}")
    return plots.png(figure)


def differences(comparison: Comparison) -> str:
    """The finding: every setting's difference from the first one in the first test, and whether it may be chance."""
    form, others = comparison.forms[0], comparison.labels[1:]
    found = {label: comparison.difference(label, form) for label in others}
    numbers = {label: (one.mean, one.interval) for label, one in found.items()}
    return differences_in_words(f"{form[0]} test", comparison.labels[0], numbers, comparison.seeds)


def _curve(axis: Any, style: plots.Style, label: str, curves: list[tuple[Floats, Floats]]) -> None:
    """Draw the runs of one setting. Where their lengths differ, only the common part is drawn."""
    length = min(len(x) for x, _ in curves)
    plots.band(axis, curves[0][0][:length], np.stack([y[:length] for _, y in curves]), style, label)
