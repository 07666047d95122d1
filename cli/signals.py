"""What happens if a signal asks the program to end. This file is imported first, so it is small."""

from __future__ import annotations

import os
import signal
import types

NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def end(number: int, frame: types.FrameType | None) -> None:
    """End at once, with the exit status that a shell gives a program that the signal ended."""
    os._exit(128 + number)


def listen(answer: signal._HANDLER) -> None:
    """Let `answer` take each signal that asks the program to end, except ignored ones (as by nohup)."""
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, answer)
