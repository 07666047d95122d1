"""Where a sweep's runs are computed: processes of this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import logging
import multiprocessing
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from leakysm.errors import UserError
from leakysm.experiments.sweep.worker import begin_worker, interrupts_blocked, stop_sweep

T = TypeVar("T")
SILENCE = 10  # seconds that a scheduler may take to answer


@dataclass(frozen=True)
class Pool:
    """opened: makes a new executor. window: how many runs it gets at a time; None: all.

    tell(out, stop): asks workers of a cluster to stop the runs of the sweep in `out` after a step, or not any more.
    """

    opened: Callable[[], Executor]
    window: int | None
    tell: Callable[[str, bool], object] = lambda out, stop: None


def local_pool(jobs: int) -> Pool:
    """`jobs` processes of this machine."""
    context = multiprocessing.get_context("spawn")  # a forked copy of a process with threads may hang
    return Pool(lambda: LocalExecutor(jobs, mp_context=context, initializer=begin_worker), jobs)


class LocalExecutor(ProcessPoolExecutor):
    """Processes that Ctrl-C does not reach while they start: it is blocked until `begin_worker` ignores it."""

    def submit(self, function: Callable[..., T], /, *args: Any, **keywords: Any) -> Future[T]:
        """Submit a call. This may start a process."""
        with interrupts_blocked():
            return super().submit(function, *args, **keywords)


@contextmanager
def dask_pool(address: str) -> Iterator[Pool]:
    """The workers of a Dask cluster, which must see the same files. UserError if its scheduler does not answer."""
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--scheduler needs Dask; install it with: pip install '.[dask]'") from None
    _require_listener(address)
    try:
        client = Client(address, timeout=f"{SILENCE}s", set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise _no_answer(address, error) from None
    with _without_traceback(), client:
        # pure=False: every run is a task of its own
        yield Pool(
            lambda: _without_cancel(client.get_executor(pure=False)),
            None,
            lambda out, stop: client.run(stop_sweep, out, stop, on_error="ignore"),
        )


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
def _without_traceback() -> Iterator[None]:
    """Silence Dask's client, which logs a traceback if it loses the connection. The runs' states show the loss."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _without_cancel(executor: Executor) -> Executor:
    """Let shutdown take cancel_futures, which Dask's lacks; a shutdown that does not wait cancels anyway."""
    shutdown = executor.shutdown
    executor.shutdown = lambda wait=True, *, cancel_futures=False: shutdown(wait=wait)  # type: ignore[method-assign]
    return executor
