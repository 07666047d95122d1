"""Tests added to a finished run, so that runs can be compared by other tests than those at their end."""

from __future__ import annotations

from leakysm.errors import UserError
from leakysm.runs.folder import RunFolder
from leakysm.runs.manifest import remove_manifest, require_listed, write_manifest
from leakysm.runs.restore import Restored
from leakysm.runs.results import read_summary, with_episodes, write_test_episodes
from leakysm.runs.settings import TrainConfig
from leakysm.training.test_result import TestResult


def require_keepable(restored: Restored, config: TrainConfig) -> None:
    """UserError unless the run is finished and the test has the run's seed and norm; others could not be compared."""
    if not restored.finished:
        raise UserError(f"{restored.path.parent} is not finished; --keep adds to the tests of a finished run")
    for key in ("seed", "norm"):
        if getattr(config, key) != getattr(restored.config, key):
            raise UserError(
                f"--{key} is {getattr(config, key)}, the run's is {getattr(restored.config, key)}; "
                f"leave --{key} out to --keep the test"
            )


def keep_test(folder: RunFolder, new: TestResult, data_digest: str) -> None:
    """Add a test with its single episodes to the run, in place of one of the same name.

    UserError if that one has other queries or another number of episodes.
    """
    with folder.alone():
        summary, tests = read_summary(folder.summary)
        for test in tests:
            if test.name == new.name and test.form != new.form:
                raise UserError(
                    f"{folder.summary} already holds {test.name} with {test.query} queries and {test.episodes} "
                    "episodes; test by those, or leave --keep out"
                )
        others = [test for test in tests if test.name != new.name]
        kept = [*with_episodes(folder.test_episodes, others), new]
        require_listed(folder, "summary", "test_episodes")
        remove_manifest(folder)
        write_test_episodes(folder.test_episodes, kept)  # before the summary, which must not name what is missing
        content = {"data_digest": data_digest, "tests": [test.to_json() for test in kept]}
        folder.write_json(folder.summary, summary | content)
        write_manifest(folder)
