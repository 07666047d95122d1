"""Runs killed by SIGKILL, at moments chosen to hurt, and resumed: the same bits as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Python = Callable[..., subprocess.CompletedProcess[str]]

# The command in a process that kills itself, just before the n-th renaming of a file to `name` ("rename"), or as soon
# as the CSV file `name` holds n rows ("row"), from another thread: somewhere in whatever is being computed.
KILLED = """
import os, signal, sys, threading, time
from pathlib import Path

kind, name, n, folder, *arguments = sys.argv[1:]
left = int(n)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def watch(event, args):
    global left
    if event in ("os.rename", "os.link") and os.path.basename(str(args[1])) == name:
        left -= 1
        if left == 0:
            die()

def wait_for_rows():
    metrics = Path(folder, name)
    while not metrics.exists() or metrics.read_bytes().count(b"\\n") <= left:
        time.sleep(0.001)
    die()

if kind == "rename":
    sys.addaudithook(watch)
else:
    threading.Thread(target=wait_for_rows, daemon=True).start()
sys.argv = ["leakysm", "train", *arguments, "--out", folder, "--resume"]
from leakysm_cli.main import main
main()
"""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but those on times and on the process (this one computes with another number of threads)."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in ("timing.csv", "environment.json")}


def killed(python: Python, tiny: list[str], kind: str, name: str, n: int) -> None:
    """Run, or resume, until the kill."""
    done = python(KILLED, kind, name, str(n), "run", *tiny)
    assert done.returncode == -signal.SIGKILL, done.stderr


def resumed(python: Python, tiny: list[str], finished: Path, folder: Path) -> None:
    """Resume to the end: every such file as the uninterrupted run's."""
    done = python("from leakysm_cli.main import main; main()", "train", *tiny, "--out", "run", "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert contents(folder) == contents(finished)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_run_killed_again_and_again_while_it_writes(
    python: Python, tiny: list[str], finished: Path, elsewhere: Path
) -> None:
    for name, n in (
        ("config.toml", 1),  # nothing is there yet
        ("checkpoint-last.h5", 1),  # a configuration and no checkpoint
        ("checkpoint-best.h5", 1),  # two steps done, only the first checkpoint
        ("checkpoint-last.h5", 1),  # a best checkpoint newer than the last
        ("checkpoint-last.h5", 2),  # a checkpoint in the middle
        ("test-episodes.h5", 1),  # trained, not tested
        ("summary.json", 1),  # all but the summary
    ):
        killed(python, tiny, "rename", name, n)
    resumed(python, tiny, finished, elsewhere / "run")


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_run_killed_again_and_again_while_it_computes(
    python: Python, tiny: list[str], finished: Path, elsewhere: Path
) -> None:
    for rows in (1, 3, 5):
        killed(python, tiny, "row", "metrics.csv", rows)
        with (elsewhere / "run" / "metrics.csv").open("ab") as file:
            file.write(b"7,0.12")  # half a row, as a full disk or a dying machine leaves it
    resumed(python, tiny, finished, elsewhere / "run")
