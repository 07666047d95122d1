"""Locks between processes: the system removes one when its process ends, however it ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of the file `path`, which is made if it is not there; its content stays. False if another has it.

    wait: wait until it is free. Where the file system has no locks, the result is True.
    """
    if sys.platform == "win32":  # there nobody else can read a locked file, so an empty one beside it is locked
        path = path.with_name(f"{path.name}.lock")
    file = path.open("ab")
    held = without = False
    try:
        try:
            held = lock_descriptor(file.fileno(), blocking=wait)
        except OSError:
            without = True
        yield held or without
    finally:
        if held:
            unlock_descriptor(file.fileno())
        with suppress(OSError):  # nothing was written, so nothing is lost
            file.close()
