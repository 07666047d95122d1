"""Finished runs, read back from their folders for comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leakysm.errors import UserError
from leakysm.runs import RunFolder, Tested, TrainConfig
from leakysm.runs.results import read_summary, read_test_episodes


@dataclass(frozen=True)
class Measured:
    """One test of a run, and the accuracy (0 to 1) of each of its episodes, (episodes,) float64."""

    tested: Tested
    per_episode: NDArray[np.float64]

    @property
    def form(self) -> tuple[str, int, int]:
        """What tests of two runs must share to be compared: way and shot in words, query, episodes."""
        return self.tested.name, self.tested.query, self.tested.episodes


@dataclass(frozen=True)
class Finished:
    """A run's folder, configuration, data's digest and tests."""

    path: Path
    config: TrainConfig
    data_digest: str
    tests: tuple[Measured, ...]


def is_finished(path: Path, config: TrainConfig) -> bool:
    """Whether the folder holds a whole run of this configuration; the number of threads may be another."""
    folder = RunFolder(path)
    stored = folder.stored_config() if folder.summary.exists() else None
    return stored is not None and replace(stored, threads=config.threads) == config


def read_run(path: Path | str) -> Finished:
    """UserError, in one line, if there is no run, it is not finished, or a file of it is damaged."""
    folder = RunFolder(path)
    config = folder.require_config()
    if not folder.summary.exists():
        raise UserError(f"{folder.path} is not finished; go on with leakysm train --resume --out {folder.path}")
    summary, tests = read_summary(folder.summary)
    stated = str(summary.get("data_digest", ""))
    # A published run may come without its weights.
    without = stated and not folder.tested().exists()
    digest = stated if without else folder.checkpoint(folder.tested(), config).data_digest
    measured = tuple(Measured(test, read_test_episodes(folder.test_episodes, test)) for test in tests)
    return Finished(folder.path, config, digest, measured)
