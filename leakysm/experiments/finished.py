"""Finished runs, read back from their folders for comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from leakysm.errors import UserError
from leakysm.runs import RunFolder, TestResult, TrainConfig
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
        raise UserError(f"{folder.path} is not finished; go on with leakysm train --resume --out {folder.path}")
    summary, tests = read_summary(folder.summary)
    stated = summary.get("data_digest", "")
    without_weights = stated and not folder.tested().exists()  # as a published run may be
    digest = stated if without_weights else folder.checkpoint(folder.tested(), config).data_digest
    tests = [with_episodes(folder.test_episodes, test) for test in tests]
    return FinishedRun(folder.path, config, digest, tuple(tests))
