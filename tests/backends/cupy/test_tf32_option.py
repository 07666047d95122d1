"""TF32 is the user's choice: off unless asked for, kept in a run's configuration, refused where there is none."""

from __future__ import annotations

import tomllib

import pytest

import leakysm as lk
from leakysm.backends.cupy import engine
from leakysm.errors import UserError
from leakysm.runs import TrainConfig, run
from tests.training.test_trainer_on_device import config


class Opened(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize(("settings", "expected"), [({}, False), ({"tf32": False}, False), ({"tf32": True}, True)])
def test_a_run_opens_the_engine_as_configured(monkeypatch, tmp_path, settings, expected):
    def opened(device, *, tf32):
        raise Opened(device, tf32)

    monkeypatch.setattr(engine, "CupyEngine", opened)
    with pytest.raises(Opened) as seen:
        run.train(config(**settings), data=None, out=tmp_path)
    assert seen.value.args == ("cuda:0", expected)


def test_the_configuration_keeps_it():
    chosen = config(tf32=True)
    assert TrainConfig(**tomllib.loads(chosen.to_toml())) == chosen
    assert "tf32" not in tomllib.loads(config().to_toml())
    with pytest.raises(UserError, match="tf32 is 1: expected true or false"):
        config(tf32=1)


@pytest.mark.parametrize("name", ["numpy", "reference"])
def test_a_cpu_has_none(name):
    with pytest.raises(UserError, match="tf32 works only on a GPU"):
        lk.backend(name, tf32=True)
