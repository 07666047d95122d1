"""Finished runs, read back from their folders for comparison."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from leakysm.errors import UserError
from leakysm.training import RunFolder, Tested, TrainConfig


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
    digest = folder.checkpoint(folder.tested(), config).data_digest
    try:
        tests = [Tested(**test) for test in json.loads(folder.summary.read_text("utf-8"))["tests"]]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{folder.summary} is damaged ({error}); train again into another folder") from None
    return Finished(folder.path, config, digest, tuple(Measured(test, _episodes(folder, test)) for test in tests))


def _episodes(folder: RunFolder, tested: Tested) -> NDArray[np.float64]:
    try:
        with h5py.File(folder.test_episodes, "r") as file:
            per_episode = np.asarray(file[tested.name][()], np.float64)
    except (OSError, KeyError) as error:
        raise UserError(
            f"{folder.test_episodes}: {tested.name} cannot be read ({error}); train again into another folder"
        ) from None
    if per_episode.shape != (tested.episodes,):
        raise UserError(
            f"{folder.test_episodes}: {tested.name} holds {per_episode.shape} values, summary.json says "
            f"{tested.episodes} episodes; train again into another folder"
        )
    return per_episode
