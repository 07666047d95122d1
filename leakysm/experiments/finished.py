"""Finished runs, read back from their folders for comparison."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from leakysm.errors import UserError
from leakysm.training import RunFolder, Tested, TrainConfig, load_checkpoint


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
    """Whether the folder holds a whole run of exactly this configuration."""
    folder = RunFolder(path)
    return folder.summary.exists() and folder.stored_config() == config


def read_run(path: Path | str) -> Finished:
    """UserError, in one line, if there is no run, it is not finished, or a file of it is damaged."""
    folder = RunFolder(path)
    config = folder.stored_config()
    if config is None:
        raise UserError(f"{folder.path} holds no run (no {folder.config.name}); name a folder that leakysm train wrote")
    if not folder.summary.exists():
        raise UserError(f"{folder.path} is not finished; go on with leakysm train --resume --out {folder.path}")
    best = folder.best if folder.best.exists() else folder.last
    digest = load_checkpoint(best).data_digest
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
