"""Train every setting with every seed, each in a folder of its own. Finished runs are not trained again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from leakysm.data import Dataset
from leakysm.errors import CheckFailed
from leakysm.experiments.finished import FinishedRun, is_finished, read_run
from leakysm.experiments.settings import as_file_name
from leakysm.runs import Progress, TrainConfig, train

Shown = Callable[[str], AbstractContextManager[Callable[[Progress], None]]]  # title of a run -> what it reports to


def train_all(
    configs: Mapping[str, TrainConfig],
    seeds: Sequence[int],
    data: Dataset,
    out: Path,
    shown: Shown,
    stop: Callable[[], bool] = lambda: False,
) -> list[FinishedRun]:
    """The finished runs, one for each setting and seed, in the order of the seeds. A run that was cut off is resumed.

    shown: opens the display of a run's progress. stop: asked after every episode; once it is true, the run's checkpoint
    is written, and Stopped raised. UserError if a folder holds another run. CheckFailed, naming setting and seed, if a
    loss is not finite.
    """
    runs = []
    work = [(label, replace(config, seed=seed)) for seed in seeds for label, config in configs.items()]
    for number, (label, config) in enumerate(work, 1):
        path = run_path(out, label, config.seed)
        if not is_finished(path, config):
            with shown(f"run {number} of {len(work)}: {label}, seed {config.seed}") as report:
                try:
                    train(config, data=data, out=path, resume=True, report=report, stop=stop)
                except CheckFailed as error:
                    raise CheckFailed(f"{label}, seed {config.seed}: {error}") from None
        runs.append(read_run(path))
    return runs


def run_path(out: Path, label: str, seed: int) -> Path:
    """The folder of a run, such as out/leaky-threshold=1-slope=0.1/seed-0."""
    name = as_file_name(label)
    if len(name) < len(label):
        name = f"{name}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"
    return out / name / f"seed-{seed}"
