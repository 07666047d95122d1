"""One road from settings to a run: the data once, and the device as whoever asks wants it completed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest

from leakysm.data import Dataset, load
from leakysm.errors import UserError
from leakysm.runs import Loader, resolve

GIVEN = {"way": 3, "device": "cpu"}


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """The settings of each data set that is loaded from now on; strokes are loaded for all."""
    asked: list[Mapping[str, Any]] = []

    def load_data(settings: Mapping[str, Any], report: object = None) -> Dataset:
        asked.append(settings)
        return load("strokes")

    monkeypatch.setattr(sys.modules[Loader.__module__], "load_data", load_data)
    return asked


def test_settings_that_name_the_same_data_share_them(loads: list[Mapping[str, Any]]) -> None:
    loader = Loader()
    resolved = [resolve({**GIVEN, "seed": seed}, load=loader) for seed in range(3)]
    assert len(loads) == 1
    assert len({id(data) for _, data in resolved}) == 1
    assert [config.seed for config, _ in resolved] == [0, 1, 2]


def test_a_loader_keeps_the_data_used_last(loads: list[Mapping[str, Any]]) -> None:
    loader = Loader(most=2)
    for place in "ababcb":
        loader({"dataset": "folder", "data": place})
    assert [settings["data"] for settings in loads] == ["a", "b", "c"]
    loader({"dataset": "folder", "data": "a"})
    assert len(loads) == 4


def test_a_wrong_setting_is_told_before_the_data_are_read(loads: list[Mapping[str, Any]]) -> None:
    for wrong in ({"way": 1}, {"slope": 2.0}, {"distance": "cosine", "slope": 0.5}, {"device": "gpu"}):
        with pytest.raises(UserError):
            resolve({**GIVEN, **wrong}, load=Loader())
    assert loads == []


def test_the_device_may_be_another_machines() -> None:
    config, _ = resolve({"way": 3}, load=lambda _: load("strokes"), choose=lambda device, backend: ("cuda:7", "cupy"))
    assert (config.device, config.backend) == ("cuda:7", "cupy")
