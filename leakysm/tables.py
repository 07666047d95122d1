"""Tables as aligned columns of text, as Markdown and as CSV; and times in words."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Sequence

Cell = str | int | float


def columns(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    rule: bool = True,
    right: Collection[int] = (),
    width: int | None = None,
) -> list[str]:
    """The lines of a table with aligned columns, two spaces between them.

    rule: draw a line below the header. right: indices of the right-aligned columns. width: the most characters of a
    line; columns that do not fit stand in further tables below, each with the first column.
    """
    table = _padded([header, *rows], right)
    lines: list[str] = []
    for block in _blocks([len(cell) for cell in table[0]], width):
        part = ["  ".join(row[i] for i in block).rstrip() for row in table]
        ruler = ["  ".join("-" * len(table[0][i]) for i in block)] if rule else []
        lines += [*([""] if lines else []), part[0], *ruler, *part[1:]]
    return lines


def _blocks(widths: Sequence[int], width: int | None) -> list[list[int]]:
    """The columns of each table: the first, and as many others as fit; at least one."""
    blocks = [[0]]
    for i, own in enumerate(widths[1:], 1):
        used = sum(widths[k] + 2 for k in blocks[-1])
        if width is not None and len(blocks[-1]) > 1 and used + own > width:
            blocks.append([0])
        blocks[-1].append(i)
    return blocks


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in the usual Markdown dialect, its columns padded so that it reads as plain text too."""
    table = _padded([[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)])
    table.insert(1, ["-" * len(cell) for cell in table[0]])
    return "".join(f"| {' | '.join(row)} |\n" for row in table)


def csv_table(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """A header and the rows; floats to 9 significant digits, from which a float32 is read back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([f"{cell:.9g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return text.getvalue().encode()


def duration(seconds: float) -> str:
    """A time in words, to about two digits: 0.3 s, 45 s, 12 min, 3 h 20 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _padded(table: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[list[str]]:
    """The rows with each cell padded to the widest of its column."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return [
        [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in table
    ]
