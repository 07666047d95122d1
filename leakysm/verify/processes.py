"""Check operations on several cores, each in a process, with results in the order of the operations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from leakysm.errors import UserError

Result = TypeVar("Result")


@contextmanager
def mapped(check: Callable[[str], Result], operations: Sequence[str], workers: int) -> Iterator[Iterator[Result]]:
    """check(operation) of every operation, in order; by `workers` new processes if there are more than one.

    With several, `check` must be picklable. UserError if a process ends before its result is there.
    """
    workers = min(workers, len(operations))
    if workers <= 1:
        yield map(check, operations)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=wait_passively) as pool:
        try:
            yield pool.map(check, operations)
        except BrokenProcessPool:
            raise UserError(
                "a process ended in the middle of a check (out of memory, or a crash in compiled code): "
                "check one operation at a time, with --operation, to find which"
            ) from None


def wait_passively() -> None:
    """Let threads that wait give their core to others, unless the user says otherwise.

    Else threads that wait for their next small piece of work keep the cores busy: PyTorch's check takes five times as
    long. OpenMP reads this when it is loaded, so it is said first.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
