"""A folder of tiny pictures, and the command line in a working directory of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

TINY = """
--way 3 --query 2 --episodes 6 --checkpoint-every 2 --test-way 2 --test-query 2 --test-episodes 10
""".split()  # noqa: SIM905


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """<split>/<class>/<image>.png: 4 classes of 4 images 16x16 for train, val and test."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    for split in ("train", "val", "test"):
        for k in range(4):
            folder = root / split / f"{split}{k}"
            folder.mkdir(parents=True)
            pattern = rng.integers(0, 200, (16, 16))
            for i in range(4):
                pixels = (pattern + rng.integers(0, 56, (16, 16))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def tiny(pictures: Path) -> list[str]:
    """The options of a run that takes a second."""
    return ["--dataset", "folder", "--data", str(pictures), *TINY]


@pytest.fixture(scope="session")
def finished(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That run, finished. To look at, not to touch."""
    from leakysm_cli.main import app

    out = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEAKYSM_CACHE", str(out.parent / ".cache"))
        result = CliRunner().invoke(app, ["train", *tiny, "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def run(finished: Path, elsewhere: Path) -> Path:
    """A copy of it: the folder `run` in the working directory."""
    return shutil.copytree(finished, elsewhere / "run")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test in its own empty working directory, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEAKYSM_CACHE", str(tmp_path / ".cache"))
    return tmp_path


@pytest.fixture
def leakysm() -> Callable[..., Result]:
    """The command in this process: leakysm("train", "--way", "5")."""
    from leakysm_cli.main import app

    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.fixture
def fails(leakysm: Callable[..., Result]) -> Callable[..., str]:
    """The one line that a command ends in, after a look at its exit status."""

    def run(*arguments: str, code: int = 2) -> str:
        result = leakysm(*arguments)
        assert result.exit_code == code, result.output
        assert result.stderr.startswith("leakysm: ")
        assert result.stderr.count("\n") == 1
        return result.stderr.removeprefix("leakysm: ").rstrip("\n")

    return run


def in_a_process(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own, with warnings as errors, quiet about the terminal."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300
    )


@pytest.fixture
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    return in_a_process
