"""Run the points of a sweep on any executor with the interface of concurrent.futures."""

from __future__ import annotations

import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from leakysm.errors import UserError, described
from leakysm.experiments.finished import is_finished
from leakysm.experiments.sweep.points import Point
from leakysm.experiments.sweep.pools import Pool
from leakysm.experiments.sweep.worker import FAILURE, run_one

ATTEMPTS = 3  # how often a run whose worker process dies is started; it continues from its last checkpoint
WAITING, RUNNING, FINISHED, FAILED = "waiting", "running", "finished", "failed"
SECONDS = 1.0  # between looks at the runs


@dataclass(frozen=True)
class State:
    """Where one run stands. error: why it failed, in one line; None if it did not."""

    status: str
    error: str | None = None


States = Mapping[Point, State]


def run_all(
    points: Iterable[Point],
    out: Path,
    pool: Pool,
    watch: Callable[[States], None],
    stop: Callable[[], bool] = lambda: False,
) -> dict[Point, State]:
    """Run every point that is not finished yet, all those of the first seed first; returns the states of all.

    One failed run does not stop the others. A run whose worker process dies is started ATTEMPTS times in all. The same
    call again continues with what is left. `watch` is called with the states about once a second, and `stop` is asked:
    once it is true, the runs write a checkpoint, and KeyboardInterrupt is raised.
    """
    states = {point: _state_on_disk(point, out) for point in points}
    pool.tell(str(out), False)
    seeds = list(dict.fromkeys(point.config.seed for point in states))
    left = (point for point, state in states.items() if state.status == WAITING)
    waiting = deque(sorted(left, key=lambda point: seeds.index(point.config.seed)))
    deaths: Counter[Point] = Counter()
    while waiting:
        lost = _run_until_broken(waiting, states, out, pool, watch, stop)
        for point in lost:
            deaths[point] += 1
            if deaths[point] < ATTEMPTS:
                waiting.append(point)
                states[point] = State(WAITING)
            else:
                states[point] = State(FAILED, f"its worker process died {ATTEMPTS} times: out of memory, perhaps")
    watch(states)
    return states


def _state_on_disk(point: Point, out: Path) -> State:
    """The state of a point before anything runs; failed if a file of its run is damaged."""
    folder = out / point.folder
    try:
        if not is_finished(folder, point.config):
            return State(WAITING)
    except UserError as error:
        return State(FAILED, str(error))
    with suppress(OSError):  # it may have failed after its last file
        (folder / FAILURE).unlink(missing_ok=True)
    return State(FINISHED)


def _run_until_broken(
    waiting: deque[Point],
    states: dict[Point, State],
    out: Path,
    pool: Pool,
    watch: Callable[[States], None],
    stop: Callable[[], bool],
) -> list[Point]:
    """Run what is waiting; if the executor breaks, return the runs that were lost, or still running."""
    running: dict[Future[str | None], Point] = {}
    with _executor(pool) as executor:
        while waiting or running:
            while waiting and (pool.window is None or len(running) < pool.window):
                point = waiting[0]
                try:
                    begun = executor.submit(run_one, point.config, str(out / point.folder))
                except BrokenExecutor:
                    return list(running.values())
                running[begun] = waiting.popleft()
                states[point] = State(RUNNING)
            watch(states)
            if stop():
                if pool.window is None:  # workers of a cluster, which stay when the executor ends
                    pool.tell(str(out), True)
                    wait(running)
                raise KeyboardInterrupt
            done, _ = wait(running, timeout=SECONDS, return_when=FIRST_COMPLETED)
            lost = []
            for future in done:
                point = running.pop(future)
                state = _state_of(future)
                if state:
                    states[point] = state
                else:
                    lost.append(point)
            if lost:
                return [*lost, *running.values()]
    return []


def _state_of(done: Future[str | None]) -> State | None:
    """The state of a run whose future is done; None if the run was lost because the executor broke."""
    try:
        error = done.result()
    except BrokenExecutor:
        return None
    except CancelledError:
        return State(FAILED, "its scheduler is gone; start one, then the same command continues")
    except Exception as failure:  # an error of the executor, such as Dask's KilledWorker
        return State(FAILED, described(failure))
    return State(FAILED, error) if error else State(FINISHED)


@contextmanager
def _executor(pool: Pool) -> Iterator[Executor]:
    """An executor of the pool, closed at the end.

    After an exception, such as Ctrl-C, its local processes are asked to stop. They do so after a step and a checkpoint.
    A second exception kills them.
    """
    others = {process.pid for process in multiprocessing.active_children()}
    executor = pool.opened()
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        _end([process for process in multiprocessing.active_children() if process.pid not in others])
        raise
    executor.shutdown()


def _end(processes: Iterable[multiprocessing.process.BaseProcess]) -> None:
    """Ask them to end, and wait; kill them if that is interrupted."""
    processes = list(processes)
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.kill()  # does nothing to one that has ended
