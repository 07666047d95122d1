"""The estimate of a run's time: what it adds up, and that measuring changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from leakysm.backends import backend
from leakysm.data import Dataset
from leakysm.runs import TrainConfig
from leakysm.runs.build import build_trainer
from leakysm.runs.estimate import Estimate, estimate, seconds_of_a_step


@pytest.mark.parametrize(("done", "steps", "validations"), [(0, 7, 4), (2, 5, 3), (3, 4, 3), (7, 0, 0)])
def test_steps_and_validations_that_are_to_come_count(
    config: Callable[..., TrainConfig], done: int, steps: int, validations: int
) -> None:
    one = config(episodes=7, checkpoint_every=2)
    measured = Estimate(step=0.25, validation=3.0, test=20.0)
    assert measured.seconds(one, done) == 0.25 * steps + 3 * validations + 20
    told = measured.told(one, done)
    assert f": {steps} training steps of 0.25 s, {validations} validations of 3 s, tests 20 s" in told


@pytest.mark.parametrize("norm", ["running", "episode"])
def test_what_is_measured_is_positive_and_changes_no_run(
    config: Callable[..., TrainConfig], make_data: Callable[..., Dataset], norm: str
) -> None:
    one, data = config(norm=norm), make_data(splits=("train", "test"))
    trainer = build_trainer(one, data, backend("numpy"))
    before = {name: array.copy() for name, array in trainer.state()[0].items()}
    measured = estimate(one, data)
    assert measured is not None
    assert measured.step > 0
    assert measured.test > 0
    assert measured.validation == 0  # there is no split for it
    assert all(np.array_equal(array, before[name]) for name, array in trainer.state()[0].items())


def test_nothing_is_known_where_the_first_steps_fail(config: Callable[..., TrainConfig], data: Dataset) -> None:
    wild = config(learning_rate=1e38, optimizer="sgd")
    assert estimate(wild, data) is None
    assert seconds_of_a_step(wild, data) is None
