"""Settings compared over training seeds. Runs of one seed share initial weights and episodes, so that they form pairs.

The unit of inference is the training seed: the interval of a difference is Student's, over the seeds' differences. For
each seed there is also the difference of the two trained nets over their common test episodes, with an interval of 1.96
standard errors; that interval describes only those two nets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leakysm.errors import UserError
from leakysm.experiments.finished import FinishedRun
from leakysm.experiments.settings import METRIC_KEYS, labels
from leakysm.experiments.student import Paired, holm, paired
from leakysm.runs import TestResult
from leakysm.training.evaluation import mean_and_interval
from leakysm.training.test_result import Form

MACHINE = {"seed", "backend", "device", "threads", "data"}  # differences that no label names
TESTED = {"test_way", "test_shot", "test_query", "test_episodes"}


@dataclass(frozen=True)
class Comparison:
    """Runs by setting and seed. Every setting has every seed, and is compared with the first setting.

    labels: the settings. forms: the tests that all runs have, by name, queries and number of episodes.
    """

    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    forms: tuple[Form, ...]
    runs: dict[tuple[str, int], FinishedRun]

    def test(self, label: str, seed: int, form: Form) -> TestResult:
        """A run's test of that form."""
        return next(test for test in self.runs[label, seed].tests if test.form == form)

    def accuracy(self, label: str, form: Form) -> Paired:
        """Mean over the seeds, in percent, and Student's interval. Its p-value has no meaning: it compares with 0."""
        return paired([self.test(label, seed, form).accuracy for seed in self.seeds])

    def difference(self, label: str, form: Form) -> Paired:
        """A setting's accuracy minus the first setting's, in percentage points, over the seeds."""
        return paired([self.seed_difference(label, seed, form)[0] for seed in self.seeds])

    def corrected(self, form: Form) -> dict[str, float]:
        """The p-value of each setting's difference, by Holm's method for all of them in this test.

        Empty if there is only one difference, or if the seeds are too few for a p-value.
        """
        p_values = {label: self.difference(label, form).p_value for label in self.labels[1:]}
        known = {label: p for label, p in p_values.items() if p is not None}
        return dict(zip(known, holm([*known.values()]), strict=True)) if len(known) > 1 else {}

    def seed_difference(self, label: str, seed: int, form: Form) -> tuple[float, float]:
        """(difference, interval) of one seed's two nets over their common test episodes, in percentage points."""
        one, other = (self.test(name, seed, form).per_episode for name in (label, self.labels[0]))
        return mean_and_interval(one - other)


def compare(runs: Sequence[FinishedRun]) -> Comparison:
    """Group runs by the settings in which they differ.

    UserError unless every setting has one run for each seed, on the same data, and all have a test in common.
    """
    if len(runs) < 2:
        raise UserError(f"{len(runs)} run is given; name at least two to compare")
    _require_alike(runs)
    of_runs = _labels(runs)
    grouped: dict[tuple[str, int], FinishedRun] = {}
    for run, name in zip(runs, of_runs, strict=True):
        if (name, run.config.seed) in grouped:
            other = grouped[name, run.config.seed].path
            raise UserError(f"{run.path} and {other} are both {name}, seed {run.config.seed}; leave one out")
        grouped[name, run.config.seed] = run
    names, seeds = dict.fromkeys(of_runs), dict.fromkeys(run.config.seed for run in runs)
    for name in names:
        if missing := [seed for seed in seeds if (name, seed) not in grouped]:
            raise UserError(
                f"{name} has no run with seed {missing[0]}, but another setting has; give every setting the same seeds"
            )
    if len(names) < 2:
        raise UserError(f"all runs are {of_runs[0]}; give runs of at least two settings")
    return Comparison(tuple(names), tuple(sorted(seeds)), _forms(runs), grouped)


def _require_alike(runs: Sequence[FinishedRun]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if run.data_digest != first.data_digest:
            raise UserError(f"{run.path} and {first.path} were made on different data; compare runs on the same")


def _forms(runs: Sequence[FinishedRun]) -> tuple[Form, ...]:
    common = set.intersection(*({test.form for test in run.tests} for run in runs))
    if not common:
        first = {test.form for test in runs[0].tests}
        other = next((run for run in runs if not first & {test.form for test in run.tests}), runs[-1])
        raise UserError(
            f"{runs[0].path} and the others share no test of the same way, shot, query and number of episodes: it has "
            f"{_told(runs[0])}, {other.path} has {_told(other)}; add one to each by `leakysm evaluate RUN --keep`"
        )
    return tuple(test.form for test in runs[0].tests if test.form in common)


def _told(run: FinishedRun) -> str:
    """A run's tests."""
    return ", ".join("{} with {} queries, {} episodes".format(*test.form) for test in run.tests) or "none"


def _labels(runs: Sequence[FinishedRun]) -> list[str]:
    """Each run's distance, and every other setting in which the runs differ."""
    settings = [run.config.settings() for run in runs]
    keys = dict.fromkeys(key for setting in settings for key in setting if key not in MACHINE | TESTED)
    differing = [key for key in keys if len({str(setting.get(key)) for setting in settings}) > 1]
    kept = [key for key in keys if key in METRIC_KEYS or key in differing]
    return labels([{key: setting[key] for key in kept if key in setting} for setting in settings])


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Plain values for JSON; accuracies and their intervals in percent, differences in percentage points."""
    first = comparison.runs[comparison.labels[0], comparison.seeds[0]].config
    return {
        "dataset": first.dataset,
        "training_episodes": first.episodes,
        "baseline": comparison.labels[0],
        "seeds": list(comparison.seeds),
        "tests": [_form_json(comparison, form) for form in comparison.forms],
    }


def _form_json(comparison: Comparison, form: Form) -> dict[str, Any]:
    name, query, episodes = form
    settings, corrected = [], comparison.corrected(form)
    for label_ in comparison.labels:
        accuracy, difference = comparison.accuracy(label_, form), comparison.difference(label_, form)
        entry: dict[str, Any] = {"setting": label_, "accuracy": accuracy.mean, "interval": accuracy.interval}
        if label_ != comparison.labels[0]:
            entry |= {
                "difference": difference.mean,
                "difference_interval": difference.interval,
                "p_value": difference.p_value,
            }
            if label_ in corrected:
                entry["p_holm"] = corrected[label_]
        settings.append(entry | {"seeds": [_seed_json(comparison, label_, seed, form) for seed in comparison.seeds]})
    way, shot = (int(part.partition("-")[0]) for part in name.split())
    return {"way": way, "shot": shot, "query": query, "episodes": episodes, "settings": settings}


def _seed_json(comparison: Comparison, label_: str, seed: int, form: Form) -> dict[str, Any]:
    test = comparison.test(label_, seed, form)
    entry: dict[str, Any] = {"seed": seed, "accuracy": test.accuracy, "interval": test.interval}
    if label_ != comparison.labels[0]:
        difference, interval = comparison.seed_difference(label_, seed, form)
        entry |= {"difference": difference, "difference_interval": interval}
    run: Path = comparison.runs[label_, seed].path
    return entry | {"run": str(run)}
