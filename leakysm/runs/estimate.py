"""Estimate how long a run takes on this machine, by timing a few of its steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from leakysm.data import Dataset
from leakysm.episodes import EpisodeForm
from leakysm.errors import CheckFailed
from leakysm.runs.build import build_trainer
from leakysm.runs.device import engine_of
from leakysm.runs.run import VALIDATION_EPISODES
from leakysm.runs.settings import TrainConfig
from leakysm.tables import duration
from leakysm.training.evaluation import CHUNK_PIXELS, SplitEmbeddings, evaluate
from leakysm.training.images import SplitImages
from leakysm.training.trainer import Trainer

SECONDS = 0.5  # how long one kind of work is repeated
CALLS = 20  # how often at most
SAMPLE = 4  # test episodes that are timed


@dataclass(frozen=True)
class Estimate:
    """Seconds of one training step, of one validation, and of all tests together."""

    step: float
    validation: float
    test: float

    def seconds(self, config: TrainConfig, done: int = 0) -> float:
        """How long the run takes from `done` training episodes on."""
        return self.step * (config.episodes - done) + self.validation * _validations(config, done) + self.test

    def told(self, config: TrainConfig, done: int = 0) -> str:
        """`about 52 s: 300 training steps of 0.14 s, 3 validations of 0.9 s, tests 4.1 s`."""
        parts = [f"{config.episodes - done} training steps of {_precise(self.step)}"]
        if self.validation:
            parts.append(f"{_validations(config, done)} validations of {_precise(self.validation)}")
        parts.append(f"tests {_precise(self.test)}")
        return f"about {duration(self.seconds(config, done))}: {', '.join(parts)}"


def estimate(config: TrainConfig, data: Dataset) -> Estimate | None:
    """Time a few training steps and test episodes of this very configuration, which changes nothing and writes nothing.

    Takes a few seconds. None if the first steps fail, so that nothing is known.
    """
    trainer = build_trainer(config, data, engine_of(config))
    try:
        step = _seconds(trainer.step)
        validation = 0.0
        if "val" in data.splits:
            validation = _evaluation(trainer, data, "val", (config.test_way[0],), VALIDATION_EPISODES, config)
        test = _evaluation(trainer, data, "test", config.test_way, config.test_episodes, config)
    except CheckFailed:
        return None
    return Estimate(step, validation, test)


def seconds_of_a_step(config: TrainConfig, data: Dataset) -> float | None:
    """Seconds of a training step; None if the first ones fail."""
    try:
        return _seconds(build_trainer(config, data, engine_of(config)).step)
    except CheckFailed:
        return None


def _evaluation(
    trainer: Trainer, data: Dataset, split: str, ways: tuple[int, ...], episodes: int, config: TrainConfig
) -> float:
    """Seconds of embedding a split, and of `episodes` episodes of each way."""
    images, net = SplitImages(trainer.engine, data, split), trainer.net
    some = np.arange(min(len(images), max(1, CHUNK_PIXELS // images.pixels)))
    embedding, embeddings = 0.0, SplitEmbeddings(images, "episode", lambda one: net.embed(images(one), norm="episode"))
    if config.norm == "running":
        z = net.embed(images(some), norm="running")
        embedding = _seconds(lambda: trainer.engine.to_host(net.embed(images(some), norm="running")))
        embedding *= len(images) / len(some)
        # The first images stand for all, over and over.
        embeddings = SplitEmbeddings(images, "running", lambda one: z[trainer.engine.asarray(one % len(some))])
    tested = 0.0
    for way in ways:
        form = EpisodeForm(min(way, len(images.starts) - 1), config.test_shot, config.test_query)
        few = partial(evaluate, embeddings, trainer.metric, form, episodes=SAMPLE, seed=trainer.seed)
        tested += _seconds(few) / SAMPLE
    return embedding + tested * min(episodes, config.test_episodes)


def _seconds(work: Callable[[], Any]) -> float:
    """The mean time of a call, after a first one that may take longer."""
    work()
    began, calls = time.perf_counter(), 0
    while not calls or (calls < CALLS and time.perf_counter() - began < SECONDS):
        work()
        calls += 1
    return (time.perf_counter() - began) / calls


def _validations(config: TrainConfig, done: int) -> int:
    """How many are still to come: one every `checkpoint_every` episodes, and one at the end."""
    total = math.ceil(config.episodes / config.checkpoint_every)
    return total - done // config.checkpoint_every if done < config.episodes else 0


def _precise(seconds: float) -> str:
    """A short time with two digits, in milliseconds below a tenth of a second."""
    return f"{1000 * seconds:.2g} ms" if seconds < 0.0995 else f"{seconds:.2g} s" if seconds < 10 else duration(seconds)
