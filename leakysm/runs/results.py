"""What a run's test says: summary.json, and each episode's accuracy for paired comparisons."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from leakysm.errors import UserError
from leakysm.files import write_atomically
from leakysm.runs.settings import TrainConfig
from leakysm.training.evaluation import Accuracy

AGREEMENT = 0.01  # percent, of a test's mean in its two files


@dataclass(frozen=True)
class Tested:
    """One test setting and its result; accuracy and interval (95 %, of this one trained net) in percent."""

    way: int
    shot: int
    query: int
    norm: str
    accuracy: float
    interval: float
    episodes: int

    @classmethod
    def of(cls, result: Accuracy, form: Mapping[str, int], norm: str) -> Tested:
        """form: way, shot and query."""
        return cls(**form, norm=norm, accuracy=result.accuracy, interval=result.interval, episodes=result.episodes)

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Tested:
        """As summary.json holds it. TypeError or ValueError, in one line, for anything that is not of its kind."""
        if not isinstance(stored, Mapping):
            raise ValueError("a test is no table")
        test = cls(**stored)
        for name in ("way", "shot", "query", "episodes"):
            value = getattr(test, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}")
        for name in ("accuracy", "interval"):
            value = getattr(test, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
                raise ValueError(f"{name} is {value!r}")
        if not isinstance(test.norm, str):
            raise ValueError(f"norm is {test.norm!r}")
        return test

    @property
    def name(self) -> str:
        return f"{self.way}-way {self.shot}-shot"

    def __str__(self) -> str:
        return f"{self.name}, {self.episodes} test episodes: accuracy {self.accuracy:.2f} % +- {self.interval:.2f} %"


@dataclass(frozen=True)
class Summary:
    """The end of a run. checkpoint: the tested one's file name, after checkpoint_episode episodes; validation_accuracy
    in percent, None where the data has no validation split and the last checkpoint counts as the best. data_digest:
    the data's checksum."""

    config: TrainConfig
    checkpoint: str
    checkpoint_episode: int
    validation_accuracy: float | None
    data_digest: str
    tests: tuple[Tested, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of summary.json."""
        config = self.config
        return {
            "dataset": config.dataset,
            "distance": {"name": config.distance, **config.metric.parameters},
            "seed": config.seed,
            "training_episodes": config.episodes,
            "checkpoint": self.checkpoint,
            "checkpoint_episode": self.checkpoint_episode,
            "validation_accuracy": self.validation_accuracy,
            "data_digest": self.data_digest,
            "tests": [asdict(tested) for tested in self.tests],
        }


def read_summary(path: Path) -> tuple[dict[str, Any], list[Tested]]:
    """What summary.json holds, and its tests. UserError if the file is damaged."""
    try:
        summary = json.loads(path.read_text("utf-8"))
        if not isinstance(summary, dict) or not isinstance(summary.get("tests"), list):
            raise ValueError("no list of tests")
        return summary, [Tested.of_json(test) for test in summary["tests"]]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; see to it that it can be read") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); train again into another folder") from None


def write_test_episodes(path: Path, results: Iterable[tuple[Tested, NDArray[np.float64]]]) -> None:
    """One dataset a test setting, "5-way 1-shot" say: the accuracy (0 to 1) of each episode, (episodes,) float64."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for tested, per_episode in results:
            file[tested.name] = per_episode
            file[tested.name].attrs["query"] = tested.query
            file[tested.name].attrs["norm"] = tested.norm
    write_atomically(path, buffer.getvalue())


def read_test_episodes(path: Path, tested: Tested) -> NDArray[np.float64]:
    """The accuracy (0 to 1) of each episode of a test. UserError if the file does not hold it whole."""
    try:
        with h5py.File(path, "r") as file:
            per_episode = np.asarray(file[tested.name][()], np.float64)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {tested.name} cannot be read ({error}); train again into another folder") from None
    if per_episode.shape != (tested.episodes,):
        raise UserError(
            f"{path}: {tested.name} holds {per_episode.shape} values, summary.json says "
            f"{tested.episodes} episodes; train again into another folder"
        )
    if (
        abs(100 * per_episode.mean() - tested.accuracy) > AGREEMENT
        or not ((per_episode >= 0) & (per_episode <= 1)).all()
    ):
        raise UserError(
            f"{path}: {tested.name} holds a mean of {100 * per_episode.mean():.4f} %, summary.json says "
            f"{tested.accuracy:.4f} %: they are not of one run; put the run's own file there, or train again"
        )
    return per_episode
