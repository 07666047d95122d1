"""Tests added to a finished run, so that runs can be compared by other tests than those at their end."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from leakysm.errors import UserError
from leakysm.runs.folder import RunFolder
from leakysm.runs.manifest import replace_files, require_listed
from leakysm.runs.restore import Restored
from leakysm.runs.results import episodes_bytes, read_summary, with_episodes
from leakysm.runs.settings import TrainConfig
from leakysm.strict_json import json_bytes
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
    """Add a test with its single episodes to the run. One that is there already stays as it is.

    UserError if a test of that name is there with other queries, another number of episodes, or other accuracies, as
    another device may give.
    """
    with folder.alone():
        summary, tests = read_summary(folder.summary)
        kept = with_episodes(folder.test_episodes, tests)
        require_listed(folder, "summary", "test_episodes")
        same = next((test for test in kept if test.name == new.name), None)
        if same is None:
            kept.append(new)
        else:
            _require_same(folder, same, new)
        content = summary | {"data_digest": data_digest, "tests": [test.to_json() for test in kept]}
        # the summary is second: it must not name what is missing
        replace_files(folder, {folder.test_episodes: episodes_bytes(kept), folder.summary: json_bytes(content)})


def other_tests(folder: RunFolder, tests: Iterable[TestResult]) -> list[TestResult]:
    """The tests of a finished run beside these: those that were kept. UserError if their file is damaged."""
    names = {test.name for test in tests}
    return with_episodes(folder.test_episodes, [t for t in read_summary(folder.summary)[1] if t.name not in names])


def _require_same(folder: RunFolder, test: TestResult, new: TestResult) -> None:
    """UserError unless the test in the run has the new one's form and accuracies."""
    if test.form != new.form:
        raise UserError(
            f"{folder.summary} already holds {test.name} with {test.query} queries and {test.episodes} "
            "episodes; test by those, or leave --keep out"
        )
    if not np.array_equal(test.per_episode, new.per_episode):
        raise UserError(
            f"{folder.summary} already holds {test.name} with {test.accuracy:.2f} %, but this test gives "
            f"{new.accuracy:.2f} % (another device can do that); leave --keep out"
        )
