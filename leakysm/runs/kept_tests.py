"""Tests added to a finished run, so that runs can be compared by tests that they were not trained with."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from leakysm.errors import UserError
from leakysm.runs.folder import RunFolder
from leakysm.runs.restore import Restored
from leakysm.runs.results import Tested, read_summary, read_test_episodes, write_test_episodes
from leakysm.runs.settings import TrainConfig


def require_keepable(restored: Restored, config: TrainConfig) -> None:
    """UserError unless the run is finished and the test's seed and norm are the run's: else tests form no pairs."""
    if not restored.finished:
        raise UserError(f"{restored.path.parent} is not finished; --keep adds to the tests of a finished run")
    for key in ("seed", "norm"):
        if getattr(config, key) != getattr(restored.config, key):
            raise UserError(
                f"--{key} is {getattr(config, key)}, the run's is {getattr(restored.config, key)}; "
                f"leave --{key} out to --keep the test"
            )


def keep_test(folder: RunFolder, tested: Tested, per_episode: NDArray[np.float64], data_digest: str) -> None:
    """Add a test, and each episode's accuracy, to the run. UserError if it has one of this name by other settings."""
    with folder.alone():
        summary, tests = read_summary(folder.summary)
        kept = []
        for other in tests:
            if other.name == tested.name and (other.query, other.episodes) != (tested.query, tested.episodes):
                raise UserError(
                    f"{folder.summary} already holds {other.name} with {other.query} queries and {other.episodes} "
                    "episodes; test by those, or leave --keep out"
                )
            if other.name != tested.name:
                kept.append((other, read_test_episodes(folder.test_episodes, other)))
        kept.append((tested, per_episode))
        write_test_episodes(folder.test_episodes, kept)  # first: what the summary names must be there
        content = {"data_digest": data_digest, "tests": [asdict(test) for test, _ in kept]}
        folder.write_json(folder.summary, summary | content)
