"""A run that is killed at any moment goes on to the bits of one that was not; one that is stopped keeps its steps."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from leakysm.runs.checkpoint import load_checkpoint
from tests.faults.commands import CASES, Commands
from tests.faults.kills import KILLS, kill_at_random

TRAIN = CASES["train"]


@pytest.mark.parametrize("name", ["train", "keep"])
def test_a_kill_loses_nothing(commands: Commands, name: str) -> None:
    assert kill_at_random(commands, CASES[name], kills=1, seed=0) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLS)
def test_many_kills_lose_nothing(commands: Commands, name: str) -> None:
    """500 in all."""
    assert kill_at_random(commands, CASES[name], KILLS[name], seed=1) == []


@pytest.fixture(scope="module")
def words(commands: Commands) -> list[str]:
    """A run whose first checkpoint is due at its end."""
    return [*TRAIN.words(commands.place), "--checkpoint-every", "4"]


@pytest.fixture(scope="module")
def undisturbed(commands: Commands, words: list[str]) -> dict[str, bytes]:
    """What it leaves where nothing stops it."""
    commands.clean()
    assert commands.call(words).ended.status == 0
    return commands.content()


@pytest.mark.parametrize(
    ("kind", "status"),
    [("interrupt", 130), ("terminate", 143), pytest.param("hang up", 129, marks=pytest.mark.slow)],
)
def test_a_stopped_run_keeps_its_steps(
    commands: Commands, words: list[str], undisturbed: dict[str, bytes], kind: str, status: int
) -> None:
    """The signal comes while the third row of metrics.csv is written."""
    run = commands.here / "run"
    commands.clean()
    stopped = commands.call(words, at=4, kind=kind, call="write", name="metrics.csv").ended
    assert stopped.status == status
    episode = load_checkpoint(run / "checkpoint-last.h5").episode
    assert episode >= 3
    assert len((run / "metrics.csv").read_bytes().splitlines()) == 1 + episode
    assert "Traceback" not in stopped.err
    assert re.search(rf"\b{episode}\b", stopped.err)
    assert f"leakysm train --out {run} --resume" in " ".join(stopped.err.split())
    assert commands.call(["train", "--out", str(run), "--resume"]).ended.status == 0
    assert commands.content() == undisturbed


INTERRUPTED = """
import os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["leakysm", "info"]
from leakysm_cli.main import main
main()
"""


def test_stopped_while_it_imports_it_leaves_no_traceback() -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) <= 1


TWICE = """
import os, signal, sys
from leakysm.training.trainer import Trainer

signal.signal(signal.SIGINT, signal.default_int_handler)

def step(self):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError("it went on")

Trainer.step = step
sys.argv = ["leakysm", "train", "--episodes", "3", "--way", "2", "--query", "1", "--out", "run"]
from leakysm_cli.main import main
main()
"""


def test_a_second_signal_ends_it_in_the_midst_of_a_step(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (
        130,
        "Stopped at episode 0. Continue: leakysm train --out run --resume\n",
    )
