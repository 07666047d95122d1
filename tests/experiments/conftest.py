"""A run of two episodes, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from leakysm.data import load
from leakysm.runs import train
from leakysm.runs.fill_in import fit, with_defaults

SMALL = {"way": 3, "query": 1, "episodes": 2, "test_way": 3, "test_query": 2, "test_episodes": 3, "norm": "episode"}


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on strokes. Not to be written to."""
    folder = tmp_path_factory.mktemp("run") / "run"
    data = load("strokes")
    train(fit(with_defaults({**SMALL, "backend": "numpy", "device": "cpu", "threads": 1}), data), data=data, out=folder)
    return folder
