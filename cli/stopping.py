"""Stopping a command: the first Ctrl-C lets a training step finish, the second ends the command at once.

SIGTERM and SIGHUP count as Ctrl-C does. The exit status is 128 and the signal's number.
"""

from __future__ import annotations

import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from leakysm_cli.signals import end

PAUSE = 0.02  # seconds, after which a callback of Python's has ended


@dataclass
class Request:
    """A request to stop. number: the last signal's; 0 before any. patient: the command itself looks at `asked`.

    ending: the command is ending, so a further signal ends it at once. words: the command's arguments.
    """

    number: int = 0
    patient: bool = False
    asked: bool = False
    ending: bool = False
    words: list[str] = field(default_factory=list)

    def answer(self, number: int, frame: types.FrameType | None) -> None:
        """Take a signal. KeyboardInterrupt, except for the first signal if the command is patient."""
        if self.ending:
            end(number, frame)
        self.number = number
        if self.patient and not self.asked:
            self.asked = True
            return
        self.ending = True
        raise KeyboardInterrupt

    def status(self, code: int) -> int:
        """The exit status of a command that would end with `code`; from here on a signal ends the process at once."""
        self.ending = True
        return 128 + self.number if code == 130 and self.number else code


request = Request()


def raise_again(problem: sys.UnraisableHookArgs) -> None:
    """A sys.unraisablehook. Python drops an exception in one of its own callbacks, so the signal is sent again."""
    if isinstance(problem.exc_value, KeyboardInterrupt) and request.number:
        request.ending = False
        # To the process: a signal that this thread raises itself would not wake the main one.
        again = threading.Timer(PAUSE, os.kill, (os.getpid(), request.number))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(problem)


@contextmanager
def stop_after_step() -> Iterator[Callable[[], bool]]:
    """While this is open the first signal only makes the given function true; the command then stops by itself."""
    request.patient = True
    try:
        yield lambda: request.asked
    finally:
        request.patient = False


def same_command(**options: str) -> str:
    """The present command line, quoted for a shell, plus these options if it lacks them. A flag has the value ""."""
    from shlex import join

    words = list(request.words)
    for name, value in options.items():
        if not any(word.partition("=")[0] == f"--{name}" for word in words):
            words += [f"--{name}", value] if value else [f"--{name}"]
    return join(["leakysm", *words])
