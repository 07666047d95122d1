"""What commands print: lines, tables, JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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
