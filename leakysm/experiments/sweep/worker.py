"""The work of a sweep's worker process, here or on another machine: one run, once, and why it failed in words."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from leakysm.errors import LeakysmError, described
from leakysm.experiments.finished import is_finished
from leakysm.files import printable
from leakysm.locks import locked
from leakysm.runs import RunFolder, Stopped, TrainConfig, train
from leakysm.runs.resolve import Loader

FAILURE = "failure.txt"
STOPPED = "stopped"
load = Loader(most=2)  # the runs of a worker process share their images
asked_to_stop = threading.Event()
_stopped_sweeps: set[str] = set()  # their folders: workers of a cluster may serve several sweeps, one after another


def begin_worker() -> None:
    """Prepare a new worker process of this machine: on SIGTERM it finishes its step. It ignores Ctrl-C, which its
    parent handles."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, lambda number, frame: asked_to_stop.set())
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end_with_parent()


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """A context in which Ctrl-C waits. Processes that are started in it block Ctrl-C until they unblock it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Let this process end when the process that started it ends, for whatever reason."""
    parent = multiprocessing.parent_process()
    assert parent, "not a process of multiprocessing"

    def watch() -> None:
        parent.join()
        os._exit(1)  # a run can be resumed from any moment

    threading.Thread(target=watch, daemon=True).start()


def stop_sweep(out: str, stop: bool) -> None:
    """Tell a worker of a cluster whether the sweep in the folder `out` is stopped. Then its runs finish their step, and
    no other begins."""
    if stop:
        _stopped_sweeps.add(out)
    else:
        _stopped_sweeps.discard(out)


def run_one(config: TrainConfig, path: str) -> str | None:
    """Train into the folder `path`, or resume the run that was cut off there.

    Returns None once the run is finished, STOPPED if the worker or the sweep is asked to stop, or one line that says
    why it failed. A finished run is left as it is. While another process trains in the folder, this one waits.
    """
    folder = RunFolder(path)

    def stop() -> bool:
        return asked_to_stop.is_set() or str(folder.path.parent) in _stopped_sweeps

    if stop():
        return STOPPED
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with locked(folder.path / ".lock", wait=True):
            (folder.path / FAILURE).unlink(missing_ok=True)
            if not is_finished(folder.path, config):
                train(config, data=load(config.settings()), out=path, resume=True, stop=stop)
    except Stopped:
        return STOPPED
    except LeakysmError as error:
        return _failed(folder, " ".join(str(error).split()))
    except Exception as error:
        return _failed(folder, described(error), traceback.format_exc())
    return None


def _failed(folder: RunFolder, message: str, details: str = "") -> str:
    line = printable(" ".join(message.split()))
    try:
        (folder.path / FAILURE).write_text(f"{line}\n{printable(details)}", "utf-8")
    except OSError as error:
        return f"{line} (and {folder.path / FAILURE} cannot be written: {error.strerror})"
    return line
