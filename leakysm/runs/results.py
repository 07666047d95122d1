"""The results of a run: summary.json, and test-episodes.h5 with each test episode's accuracy."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from leakysm.errors import UserError
from leakysm.files import read_file
from leakysm.hdf5 import Hdf5Error, read_hdf5
from leakysm.runs.settings import TrainConfig, metric_parameters
from leakysm.seal import BLOCK, sealed
from leakysm.small_texts import parse_json
from leakysm.training.evaluation import mean_and_interval
from leakysm.training.test_result import TestResult

LARGEST_SUMMARY = 1 << 22  # bytes of summary.json
LARGEST_EPISODES = 1 << 28  # bytes of test-episodes.h5
SEAL = "test episodes"
AGREEMENT = 0.01  # percent: how far a test's mean in its two files may differ


@dataclass(frozen=True)
class Summary:
    """A run's results.

    checkpoint: the file of the net that was tested, after checkpoint_episode training episodes. validation_accuracy: in
    percent; None where the data have no validation split, so that the last checkpoint counts as the best. data_digest:
    the data set's digest. closeness: by the number of examples of a class, how many spreads of the support an image of
    validation usually is from its nearest prototype (`leakysm.training.closeness`); empty where that is not known.
    scale: the learned scale of the tested net; None if there is none.
    """

    config: TrainConfig
    checkpoint: str
    checkpoint_episode: int
    validation_accuracy: float | None
    data_digest: str
    tests: tuple[TestResult, ...]
    closeness: Mapping[int, float] = field(default_factory=dict)
    scale: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of summary.json."""
        config = self.config
        return {
            "dataset": config.dataset,
            "distance": {"name": config.distance, **metric_parameters(config.settings())},
            **({} if self.scale is None else {"scale": self.scale}),
            "seed": config.seed,
            "training_episodes": config.episodes,
            "checkpoint": self.checkpoint,
            "checkpoint_episode": self.checkpoint_episode,
            "validation_accuracy": self.validation_accuracy,
            "closeness": {str(shot): limit for shot, limit in self.closeness.items()},
            "data_digest": self.data_digest,
            "tests": [test.to_json() for test in self.tests],
        }


def read_summary(path: Path) -> tuple[dict[str, Any], list[TestResult]]:
    """What summary.json holds, and its tests, without their single episodes. UserError if the file is damaged."""
    from leakysm.runs.summary_schema import tests_of

    try:
        content = parse_json(read_file(path, most=LARGEST_SUMMARY, mend="make it readable"))
        return content, tests_of(content)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); {_mend(path)}") from None


def _mend(path: Path) -> str:
    again = f"leakysm train --resume --out {path.parent}"
    return f"put the run's own copy back; or delete summary.json and manifest.json, and test again: {again}"


def episodes_bytes(tests: Iterable[TestResult]) -> memoryview:
    """The content of test-episodes.h5.

    One HDF5 dataset for each test, "5-way 1-shot" say: each episode's accuracy (0 to 1), (episodes,) float64.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=BLOCK) as file:
        for test in tests:
            file[test.name] = test.per_episode
            file[test.name].attrs["query"] = test.query
            file[test.name].attrs["norm"] = test.norm
    return sealed(buffer, SEAL)


def with_episodes(path: Path, tests: Iterable[TestResult]) -> list[TestResult]:
    """The tests with each episode's accuracy, from test-episodes.h5. UserError if the file does not hold them all."""
    content = read_file(path, most=LARGEST_EPISODES, mend=_mend(path))
    return [_with_episodes(path, content, test) for test in tests]


def _with_episodes(path: Path, content: bytes, test: TestResult) -> TestResult:
    try:
        file = read_hdf5(content, seal=SEAL, only=(test.name,))
        per_episode = file.data(test.name).astype(np.float64)
        stated = {key: file.members[test.name].attributes.get(key) for key in ("query", "norm")}
    except (Hdf5Error, TypeError, ValueError) as error:
        raise UserError(f"{path}: {test.name} cannot be read ({error}); {_mend(path)}") from None
    if per_episode.shape != (test.episodes,):
        raise UserError(
            f"{path}: {test.name} holds {per_episode.shape} values, summary.json says {test.episodes} episodes; "
            f"{_mend(path)}"
        )
    mean = 100 * per_episode.mean()
    if abs(mean - test.accuracy) > AGREEMENT or not ((per_episode >= 0) & (per_episode <= 1)).all():
        raise UserError(
            f"{path}: {test.name} holds a mean of {mean:.4f} %, summary.json says {test.accuracy:.4f} %: they are not "
            "of one run; put the run's own file there, or train again"
        )
    _require_agreement(path, test, per_episode, stated)
    return replace(test, per_episode=per_episode)


def _require_agreement(
    path: Path, test: TestResult, per_episode: NDArray[np.float64], stated: Mapping[str, Any]
) -> None:
    """UserError unless interval, query and norm in summary.json are those of test-episodes.h5.

    stated: query and norm of the latter; None if it is missing, as in older runs.
    """
    told = {"interval": test.interval, "query": test.query, "norm": test.norm}
    held = {"interval": mean_and_interval(per_episode)[1] if len(per_episode) > 1 else test.interval, **stated}
    for key, value in told.items():
        other = held[key]
        same = (
            abs(value - other) <= AGREEMENT if isinstance(value, float) else other is None or str(other) == str(value)
        )
        if not same:
            raise UserError(
                f"{path}: {test.name} has {key} {other}, summary.json says {value}: they are not of one run; put the "
                "run's own file there, or train again"
            )
