"""What commands print: lines, tables, JSON."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence


def line_width() -> int | None:
    """The most characters of a line on standard output, if it is a terminal; else None."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def tell_unfinished(
    run: object, what: str, *, checkpoint: str | None, checkpoint_episode: int | None, finished: bool | None
) -> None:
    """A line on standard error if a run's net is not the best of a finished run.

    what: what was done with the net, such as "tested".
    """
    if checkpoint_episode == 0:
        print(f"{run} holds imported weights: {what} {checkpoint}", file=sys.stderr)
    elif not finished:
        print(f"{run} is not finished: {what} {checkpoint}, after {checkpoint_episode} episodes", file=sys.stderr)


def print_lines(lines: Iterable[str]) -> None:
    """Each line on standard output; an empty one where there is none."""
    print(*lines, sep="\n")


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table with aligned columns."""
    from leakysm.tables import columns

    print_lines(columns(header, rows))


def print_json(content: object, *, indent: int | None = None) -> None:
    """One strict JSON value, in one line or with `indent` spaces a level."""
    from leakysm.strict_json import json_text

    print(json_text(content, indent=indent))
