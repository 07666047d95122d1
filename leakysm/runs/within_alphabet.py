"""Test a run by Omniglot's within-alphabet protocol: 20 given tasks of 20-way 1-shot (Lake et al. 2015)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from leakysm.data.within_alphabet import WAYS, Task, within_alphabet
from leakysm.episodes import EpisodeForm
from leakysm.errors import UserError
from leakysm.files import expanded
from leakysm.runs.device import engine_for
from leakysm.runs.restore import Restored, restore
from leakysm.runs.run import Progress, ReportProgress
from leakysm.training.evaluation import mean_and_interval, nearest_prototypes
from leakysm.training.test_result import TestResult


def evaluate_within_alphabet(
    run: Path | str,
    *,
    data: str | None = None,
    norm: str | None = None,
    device: str | None = None,
    backend: str | None = None,
    threads: int | None = None,
    report: ReportProgress = lambda progress: None,
    trust: bool = False,
) -> TestResult:
    """The error rate of a run's best checkpoint over the 20 tasks.

    data: all_runs.zip, the folder that it unpacks to, or the folder that holds one of them; None is the place of the
    run's own data. report: called after every task. trust: whether the code of the run's own formula may be run.
    UserError if those files, the run or its checkpoint cannot be used, or if the net takes other images than drawings
    of 28x28.
    """
    restored = restore(run, engine_for(device, backend, threads), trust=trust)
    _ = restored.config.metric  # code that is not trusted is reported first
    inputs, place = restored.checkpoint.inputs, data or restored.config.data
    if inputs.image_shape != (28, 28, 1) or not inputs.ink:
        raise UserError(
            f"{run} was trained on images {list(inputs.image_shape)} of {restored.config.dataset}; the "
            "within-alphabet protocol needs a net for drawings [28, 28, 1]: train on omniglot"
        )
    if place is None:
        raise UserError("the within-alphabet protocol needs Omniglot's all_runs.zip; give the place with --data")
    norm = norm or restored.config.norm
    tasks, accuracies = within_alphabet(expanded(place)), np.empty(0)
    for done, task in enumerate(tasks, 1):
        accuracies = np.append(accuracies, _accuracy(restored, task, norm))
        report(Progress("test", done, len(tasks)))
    error, interval = mean_and_interval(1 - accuracies)
    form = EpisodeForm(way=WAYS, shot=1, query=1)
    tested = TestResult(*form, norm, 100 - error, interval, len(accuracies), error, per_episode=accuracies)
    return replace(tested, **restored.described())


def _accuracy(restored: Restored, task: Task, norm: str) -> float:
    z, way = restored.embed(np.concatenate([task.training, task.test]), norm), len(task.training)
    nearest = nearest_prototypes(restored.net.engine, restored.config.metric, z, np.arange(way), way)
    return float(np.mean(nearest == task.answers))
