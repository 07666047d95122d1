"""Every command of `leakysm`, found by walking the app."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from leakysm_cli.main import app
from typer.main import get_command


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command with the words that call it; () for `leakysm` itself."""
    return _below((), get_command(app))


def _below(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from _below((*words, name), below)
