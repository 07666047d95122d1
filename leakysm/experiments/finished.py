"""Finished runs, read back from their folders for comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leakysm.errors import UserError
from leakysm.files import read_file
from leakysm.runs import Checkpoint, RunFolder, TestResult, TrainConfig, load_checkpoint
from leakysm.runs.journal import read_metrics
from leakysm.runs.manifest import require_listed
from leakysm.runs.results import read_summary, with_episodes


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its folder, its configuration, the digest of its data, and its tests with their episodes."""

    path: Path
    config: TrainConfig
    data_digest: str
    tests: tuple[TestResult, ...]


def is_finished(path: Path, config: TrainConfig) -> bool:
    """Whether the folder holds a whole run of this configuration; the number of threads may be another."""
    folder = RunFolder(path)
    stored = folder.stored_config() if folder.summary.exists() else None
    return stored is not None and replace(stored, threads=config.threads) == config


def read_run(path: Path | str) -> FinishedRun:
    """The run in this folder. UserError if there is none, if it is not finished, or if a file of it is damaged."""
    folder = RunFolder(path)
    config = folder.require_config()
    if not folder.summary.exists():
        if folder.last.exists() and folder.checkpoint(folder.last, config).episode == 0:
            raise UserError(
                f"{folder.path} holds imported weights, not a finished run; test them: leakysm evaluate {folder.path}"
            )
        trust = " --trust" if config.formula else ""
        raise UserError(f"{folder.path} is not finished; go on with leakysm train --resume --out {folder.path}{trust}")
    summary, tests = read_summary(folder.summary)
    stated = summary.get("data_digest", "")
    without_weights = stated and not folder.tested().exists()  # as a published run may be
    digest = stated if without_weights else folder.checkpoint(folder.tested(), config).data_digest
    tests = with_episodes(folder.test_episodes, tests)
    _require_every_test(folder, config, tests)
    require_listed(folder, "config", "summary", "test_episodes")
    return FinishedRun(folder.path, config, digest, tuple(tests))


def _require_every_test(folder: RunFolder, config: TrainConfig, tests: Sequence[TestResult]) -> None:
    """UserError unless each test that the configuration asks for is there."""
    there = {(test.way, test.shot) for test in tests}
    for way in config.test_way:
        if (way, config.test_shot) not in there:
            raise UserError(
                f"{folder.summary} holds no {way}-way {config.test_shot}-shot test, which {folder.config.name} asks "
                "for; put the run's own file there, or train again into another folder"
            )


def read_finished_metrics(
    path: Path, load: Callable[[Path], Checkpoint] = load_checkpoint
) -> dict[str, NDArray[np.float64]]:
    """The columns of a finished run's metrics.csv by name. load: reads its last checkpoint.

    UserError if it is damaged, or differs from what the run's checkpoint or manifest states.
    """
    folder = RunFolder(path)
    content = read_file(folder.metrics, mend="put metrics.csv back, or train again")
    columns, digest = read_metrics(folder.metrics, content), sha256(content).hexdigest()
    if folder.last.exists():
        last = load(folder.last)
        if (len(content), digest) != (last.metrics_size, last.metrics_digest):
            raise UserError(
                f"{folder.metrics} was altered: {folder.last.name} states other rows; put back the run's own file, "
                "or train again into another folder"
            )
    require_listed(folder, "metrics", known=digest)
    return columns
