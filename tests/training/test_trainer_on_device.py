"""The trainer over the GPU's code path, run on the CPU: steps, failure, a whole run, and its exact resumption."""

from __future__ import annotations

import numpy as np
import pytest

import leakysm as lk
from leakysm.errors import CheckFailed
from leakysm.runs import TrainConfig, run, train
from leakysm.runs.build import build_trainer
from leakysm.runs.checkpoint import load_checkpoint
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


class CutOffError(Exception):
    pass


def test_a_run_that_was_cut_off_is_resumed_exactly(host_kernels, data, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "engine_of", lambda *_, **__: HostEngine(host_kernels))
    settings = config(test_episodes=3, test_way=(2,))
    train(settings, data=data, out=tmp_path / "whole")

    def cut_off(progress):
        if progress.phase == "train" and progress.done == 3:
            raise CutOffError

    with pytest.raises(CutOffError):
        train(settings, data=data, out=tmp_path / "parts", report=cut_off)
    train(settings, data=data, out=tmp_path / "parts", resume=True)
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    assert (whole / "metrics.csv").read_bytes() == (parts / "metrics.csv").read_bytes()
    ours, theirs = (load_checkpoint(folder / "checkpoint-last.h5") for folder in (parts, whole))
    for a, b in ((ours.net, theirs.net), (ours.optimizer, theirs.optimizer)):
        for name, value in b.items():
            np.testing.assert_array_equal(a[name], value)
