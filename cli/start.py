"""The entry point of the script `leakysm`: quiet about Ctrl-C from its first moment on, while all else is imported."""

from __future__ import annotations

import os
import signal
import types

NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def end(number: int, frame: types.FrameType | None) -> None:
    """End at once, with the exit status that a shell gives a program that the signal ended."""
    os._exit(128 + number)


def listen(answer: signal._HANDLER) -> None:
    """Let `answer` take each signal that asks the program to end, but for those that were ignored, as nohup does."""
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, answer)


def main() -> None:
    """Run the command line."""
    listen(end)
    from leakysm_cli.main import main

    main()
