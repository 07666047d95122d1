"""The files in `old`: two runs' folders and a data cache, written once by version 0.1.0, to be read for ever.

The net of these runs has few weights that are not zero, so that the files are small: a weight between channels that are
always zero has no gradient, and stays zero. It came into the run by `leakysm export --like`.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.unchanged.drawn import draw, set_times
from tests.unchanged.items import own_cache
from tests.unchanged.looked import machine
from tests.unchanged.runs import LAST, arrays, command

OLD = Path(__file__).parent / "old"
ZIPPED = ("pictures", "stopped", "finished")
CACHE, EXPECTED = "cache", "expected.json"
ACTIVE = 6  # channels of each block that are not zero
STOPPED_AFTER, EPISODES = 5, 8  # the checkpoint is of episode 4: a row of metrics.csv comes after it
OPTIONS = f"""
--dataset folder --way 3 --shot 1 --query 2 --episodes {EPISODES} --checkpoint-every 4 --test-way 3 --test-way 2
--test-query 3 --test-episodes 20 --distance leaky --threshold 0.5 --slope 0.1 --device cpu --backend numpy
""".split()


def make() -> int:
    """Make the files with this version; the exit status. Refused if the folder is there."""
    if OLD.exists():
        print(f"{OLD} is there: old files are never made again", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, own_cache(OLD / CACHE):
        work = Path(folder)
        draw(work / "pictures")
        _begin(work)
        shutil.copytree(work / "begun", work / "stopped")
        _stop(work / "stopped")
        (work / "begun").rename(work / "finished")
        command("train", "--out", work / "finished", "--resume")
        (work / "finished" / "curves.png").unlink()
        expected = {"on": machine(), "evaluate": {run: evaluated(work, run) for run in ("stopped", "finished")}}
        (OLD / EXPECTED).write_text(json.dumps(expected, indent=1) + "\n", "utf-8")
        for name in ZIPPED:
            _zip(work / name, OLD / f"{name}.zip")
    return 0


def unpack(folder: Path) -> Path:
    """A copy of the old files in `folder`: pictures, stopped, finished, cache."""
    for name in ZIPPED:
        with zipfile.ZipFile(OLD / f"{name}.zip") as archive:
            archive.extractall(folder / name)
    set_times(folder / "pictures")
    shutil.copytree(OLD / CACHE, folder / CACHE)
    return folder


def evaluated(folder: Path, run: str) -> dict[str, Any]:
    """What `leakysm evaluate` finds of a run in `folder`."""
    told = command("evaluate", folder / run, "--data", folder / "pictures", "--json", "--backend", "numpy")
    found: dict[str, Any] = json.loads(told)
    return found


def _begin(work: Path) -> None:
    """The run `begun`: all settings, a net of few weights, no episode done."""
    command("train", *OPTIONS, "--data", work / "pictures", "--out", work / "first")
    state = {name.removeprefix("net/"): a for name, a in arrays(work / "first" / LAST).items() if name[:4] == "net/"}
    for name, array in state.items():
        still = 1 if name.endswith(("variance", "scale")) else 0
        array[..., ACTIVE:] = still
        if name.endswith("weight") and name != "block1.weight":
            array[:, :, ACTIVE:] = 0
    np.savez(work / "few.npz", **state)
    command("export", work / "few.npz", "--like", work / "first", "--out", work / "begun")


def _stop(run: Path) -> None:
    """Train on, until somebody presses Ctrl-C."""
    from leakysm.runs import Progress, RunFolder, resolve, train

    def press(progress: Progress) -> None:
        if progress.phase == "train" and progress.done == STOPPED_AFTER:
            raise KeyboardInterrupt

    config, data = resolve({}, folder=RunFolder(run))
    with suppress(KeyboardInterrupt):
        train(config, data=data, out=run, resume=True, report=press)


def _zip(folder: Path, file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
