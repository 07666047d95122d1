"""Run a sweep's points on any executor of the concurrent.futures interface: local processes, or a Dask cluster's."""

from __future__ import annotations

import logging
import multiprocessing
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from leakysm.errors import UserError
from leakysm.experiments.finished import is_finished
from leakysm.experiments.sweep.file import Point
from leakysm.experiments.sweep.worker import end_with_parent, run_one

ATTEMPTS = 3  # of a run whose worker process dies; it goes on from its last checkpoint
WAITING, RUNNING, FINISHED, FAILED = "waiting", "running", "finished", "failed"
SECONDS = 1.0  # between looks at the runs
SILENCE = 10  # seconds that a scheduler may take to answer


@dataclass(frozen=True)
class State:
    """Of one run. error: of a failed one, in one line."""

    status: str
    error: str | None = None


States = Mapping[Point, State]


@dataclass(frozen=True)
class Pool:
    """opened: a new executor. window: runs to hand over at a time; None hands over all."""

    opened: Callable[[], Executor]
    window: int | None


def run_all(points: Iterable[Point], out: Path, pool: Pool, watch: Callable[[States], None]) -> dict[Point, State]:
    """Every point that is not finished yet. A failure stops no other run; `watch` sees the states now and then.

    A run whose worker dies is handed over again, ATTEMPTS times in all. The same call again goes on with what is left.
    """
    states = {point: _found(point, out) for point in points}
    waiting = deque(point for point, state in states.items() if state.status == WAITING)
    deaths: Counter[Point] = Counter()
    while waiting:
        lost = _run_until_broken(waiting, states, out, pool, watch)
        for point in lost:
            deaths[point] += 1
            if deaths[point] < ATTEMPTS:
                waiting.append(point)
                states[point] = State(WAITING)
            else:
                states[point] = State(FAILED, f"its worker process died {ATTEMPTS} times: out of memory, perhaps")
    watch(states)
    return states


def _found(point: Point, out: Path) -> State:
    """Of a point before anything runs; failed if a file of its run is damaged."""
    try:
        return State(FINISHED if is_finished(out / point.folder, point.config) else WAITING)
    except UserError as error:
        return State(FAILED, str(error))


def _run_until_broken(
    waiting: deque[Point], states: dict[Point, State], out: Path, pool: Pool, watch: Callable[[States], None]
) -> list[Point]:
    """Run what is waiting; returns the runs that were lost because the executor broke."""
    running: dict[Future[str | None], Point] = {}
    with _executor(pool) as executor:
        while waiting or running:
            while waiting and (pool.window is None or len(running) < pool.window):
                point = waiting.popleft()
                running[executor.submit(run_one, point.config, str(out / point.folder))] = point
                states[point] = State(RUNNING)
            watch(states)
            done, _ = wait(running, timeout=SECONDS, return_when=FIRST_COMPLETED)
            lost = []
            for future in done:
                point = running.pop(future)
                try:
                    error = future.result()
                except BrokenExecutor:
                    lost.append(point)
                except CancelledError:
                    states[point] = State(FAILED, "its scheduler is gone; start one, then the same command goes on")
                except Exception as failure:  # of the executor: Dask's KilledWorker, say
                    states[point] = State(FAILED, " ".join(f"{type(failure).__name__}: {failure}".split()))
                else:
                    states[point] = State(FAILED, error) if error else State(FINISHED)
            if lost:
                return [*lost, *running.values()]
    return []


@contextmanager
def _executor(pool: Pool) -> Iterator[Executor]:
    """Closed at the end; if it ends by an exception (Ctrl-C), without waiting for the runs."""
    others = {process.pid for process in multiprocessing.active_children()}
    executor = pool.opened()
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():  # a local executor's; their runs can be gone on with
            if process.pid not in others:
                process.terminate()
        raise
    executor.shutdown()


def local_pool(jobs: int) -> Pool:
    """`jobs` processes of this machine."""
    context = multiprocessing.get_context("spawn")  # a forked copy of a process with threads may hang
    return Pool(lambda: ProcessPoolExecutor(jobs, mp_context=context, initializer=end_with_parent), jobs)


@contextmanager
def dask_pool(address: str) -> Iterator[Pool]:
    """The workers of a Dask cluster, which must see the same files. UserError if its scheduler does not answer."""
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--scheduler needs Dask; install it with: pip install 'leakysm[dask]'") from None
    _require_listener(address)
    try:
        client = Client(address, timeout=f"{SILENCE}s", set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise _no_answer(address, error) from None
    with _told_in_one_line(), client:
        # pure=False: every run is a task of its own
        yield Pool(lambda: _without_cancel(client.get_executor(pure=False)), None)


def _require_listener(address: str) -> None:
    """UserError unless something listens there: a client that finds nothing leaves tracebacks behind."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.scheme not in ("tcp", "tls"):
        raise UserError(
            f"the scheduler's address is '{address}'; expected tcp://HOST:PORT, as dask scheduler prints it"
        )
    try:
        socket.create_connection((host, port), timeout=SILENCE).close()
    except OSError as error:
        raise _no_answer(address, error) from None


def _no_answer(address: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(f"no Dask scheduler answers at {address} ({reason}); start one with: dask scheduler")


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    """Dask's client logs the traceback of a lost connection; the runs' states say it already."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _without_cancel(executor: Executor) -> Executor:
    """Dask's shutdown knows no cancel_futures; without waiting it cancels anyway."""
    shutdown = executor.shutdown
    executor.shutdown = lambda wait=True, *, cancel_futures=False: shutdown(wait=wait)  # type: ignore[method-assign]
    return executor
