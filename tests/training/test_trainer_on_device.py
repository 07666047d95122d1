"""The trainer over the GPU's code path, run on the CPU: steps, failure, and exact resumption."""

from __future__ import annotations

import numpy as np
import pytest

import leakysm as lk
from leakysm.errors import CheckFailed
from leakysm.runs import TrainConfig
from leakysm.runs.build import build_trainer
from tests.backends.cupy.block_cases import assert_close
from tests.backends.cupy.host_kernels import HostEngine
from tests.tiny_run import SETTINGS, _make_data


def config(**settings):
    return TrainConfig(**SETTINGS | {"backend": "cupy", "device": "cuda:0"} | settings)


@pytest.fixture(scope="module")
def data():
    return _make_data()


def test_steps_are_those_of_the_reference(host_kernels, data):
    """float32, the same operations in another grouping; the scale of each is its largest value."""
    settings = config(optimizer="sgd", learning_rate=0.01)
    ours, theirs = (
        build_trainer(settings, data, HostEngine(host_kernels)),
        build_trainer(settings, data, lk.backend("reference")),
    )
    for _ in range(2):
        row, expected = np.array(ours.step().row, "float32"), np.array(theirs.step().row)
        assert_close(row, expected, 1 + abs(expected), 64, "row")
    assert_close(ours.net.vector, theirs.net.vector.astype("float64"), abs(theirs.net.vector).max(), 64, "parameters")
    for name, value in theirs.net.running.items():
        assert_close(ours.net.running[name], value.astype("float64"), abs(value).max(), 64, name)
    assert ours.episode == 2


def test_a_loss_that_is_not_finite_changes_nothing(host_kernels, data):
    trainer = build_trainer(config(), data, HostEngine(host_kernels))
    trainer.step()
    trainer.net.parameters["block4.shift"][:] = np.nan
    before = {name: array.copy() for part in trainer.state() for name, array in part.items()}
    with pytest.raises(CheckFailed, match="the loss is nan at episode 2, expected a finite number"):
        trainer.step()
    after = {name: array for part in trainer.state() for name, array in part.items()}
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)
    assert trainer.episode == 1


def test_a_run_that_was_cut_off_is_resumed_exactly(host_kernels, data):
    """By the state that a checkpoint holds; tests/runs holds the rest, which is the same on every engine."""
    whole, parts, after = (build_trainer(config(), data, HostEngine(host_kernels)) for _ in range(3))
    rows = [whole.step().row, whole.step().row]
    assert parts.step().row == rows[0]
    after.load_state(*({name: array.copy() for name, array in part.items()} for part in parts.state()), 1)
    assert after.step().row == rows[1]
    for ours, theirs in zip(after.state(), whole.state(), strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            np.testing.assert_array_equal(ours[name], value)
