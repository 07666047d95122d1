"""What a sweep's worker process does, here or on another machine: one run, never twice, and its failure in words."""

from __future__ import annotations

import multiprocessing
import os
import threading
import traceback
from functools import lru_cache

from leakysm.data import Dataset
from leakysm.errors import LeakysmError
from leakysm.experiments.finished import is_finished
from leakysm.locks import locked
from leakysm.runs import RunFolder, TrainConfig, train
from leakysm.runs.resolve import load_data

FAILURE = "failure.txt"


def end_with_parent() -> None:
    """From now on this process ends when the one that started it does, however that came about."""
    parent = multiprocessing.parent_process()
    assert parent, "not a process of multiprocessing"

    def watch() -> None:
        parent.join()
        os._exit(1)  # a run can be gone on with from any moment

    threading.Thread(target=watch, daemon=True).start()


def run_one(config: TrainConfig, path: str) -> str | None:
    """Train into the folder `path`, or go on with the run that was cut off there. None, or in one line why it failed.

    A finished run is left as it is; one that another process is at is waited for.
    """
    folder = RunFolder(path)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with locked(folder.path / ".lock", wait=True):
            (folder.path / FAILURE).unlink(missing_ok=True)
            if not is_finished(folder.path, config):
                train(config, data=_data(config), out=path, resume=True)
    except LeakysmError as error:
        return _failed(folder, " ".join(str(error).split()))
    except Exception as error:
        return _failed(folder, f"{type(error).__name__}: {error}", traceback.format_exc())
    return None


def _data(config: TrainConfig) -> Dataset:
    return _loaded(*((key, value) for key, value in config.settings().items() if key in ("dataset", "data", "split")))


@lru_cache(maxsize=2)
def _loaded(*settings: tuple[str, str]) -> Dataset:
    """A worker's runs share their images."""
    return load_data(dict(settings))


def _failed(folder: RunFolder, message: str, details: str = "") -> str:
    line = " ".join(message.split())
    try:
        (folder.path / FAILURE).write_text(f"{line}\n{details}", "utf-8")
    except OSError as error:
        return f"{line} (and {folder.path / FAILURE} cannot be written: {error.strerror})"
    return line
