"""A small data set in memory, and the configuration of a run on it that takes a second: a plugin of fixtures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from leakysm.data import ClassSet, Dataset
from leakysm.data.inputs import InputFormat
from leakysm.runs import TrainConfig

SETTINGS: dict[str, Any] = {
    "dataset": "folder",
    "way": 3,
    "shot": 1,
    "query": 2,
    "episodes": 4,
    "test_way": (2, 3),
    "test_shot": 1,
    "test_query": 3,
    "test_episodes": 20,
    "distance": "leaky",
    "threshold": 1.0,
    "slope": 0.1,
    "per": "pair",
    "norm": "running",
    "optimizer": "adam",
    "learning_rate": 0.001,
    "halve_every": 3,
    "seed": 5,
    "checkpoint_every": 2,
    "backend": "numpy",
    "device": "cpu",
}


def _make_data(*, splits: tuple[str, ...] = ("train", "val", "test"), seed: int = 0) -> Dataset:
    """Noisy copies of one random 16x16 pattern a class: 6 classes a split, 5 to 7 images each."""
    rng = np.random.default_rng(seed)
    counts = np.array([5, 6, 7, 5, 6, 7])
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    sets = {}
    for split in splits:
        patterns = rng.integers(0, 200, (6, 16, 16, 1))
        images = np.repeat(patterns, counts, axis=0) + rng.integers(0, 56, (counts.sum(), 16, 16, 1))
        sets[split] = ClassSet(images.astype(np.uint8), starts, tuple(f"{split}{i}" for i in range(6)))
    return Dataset("folder", sets, InputFormat.unscaled((16, 16, 1)), f"digest {splits} {seed}")


@pytest.fixture(scope="session")
def data() -> Dataset:
    return _make_data()


@pytest.fixture(scope="session")
def make_data() -> Callable[..., Dataset]:
    """Such data with other splits or of another seed."""
    return _make_data


@pytest.fixture(scope="session")
def config() -> Callable[..., TrainConfig]:
    """The tiny run's configuration, with the given settings instead."""
    return lambda **settings: TrainConfig(**SETTINGS | settings)
