"""Check operations on several cores, each in a process. Those that take long begin first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from leakysm.errors import UserError
from leakysm.ops.registry import OPERATIONS

Result = TypeVar("Result")


@contextmanager
def mapped(
    check: Callable[[str], Result], operations: Sequence[str], workers: int
) -> Iterator[Iterator[tuple[int, Result]]]:
    """The place of every operation and check(operation), as they end; by `workers` new processes if more than one.

    With several, `check` must be picklable. UserError if a process ends before its result is there.
    """
    workers = min(workers, len(operations))
    if workers <= 1:
        yield enumerate(map(check, operations))
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=wait_passively) as pool:
        try:
            longest = sorted(range(len(operations)), key=lambda place: -_size(operations[place]))
            places = {pool.submit(check, operations[place]): place for place in longest}
            yield ((places[done], done.result()) for done in as_completed(places))
        except BrokenProcessPool:
            raise UserError(
                "a process ended in the middle of a check (out of memory, or a crash in compiled code): "
                "check one operation at a time, with --operation, to find which"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after an error, or a Ctrl-C, no further check begins


def _size(operation: str) -> int:
    """How many arguments and parameters an operation has: more of them make more cases, which take longer."""
    known = OPERATIONS.get(operation)
    return len(known.arguments) + len(known.parameters) if known else 0


def wait_passively() -> None:
    """Let threads that wait give their core to others, unless the user says otherwise.

    Else threads that wait for their next small piece of work keep the cores busy: PyTorch's check takes five times as
    long. OpenMP reads this when it is loaded, so it is said first.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
