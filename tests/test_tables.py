"""Tables: columns that line up, Markdown that a cell cannot break, CSV that gives float32 back, times in words."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.tables import columns, csv_table, duration, markdown_table

cells = st.text(st.characters(codec="ascii", exclude_characters="\r\n", categories=["L", "N", "P"]), max_size=8)
rows = st.lists(st.tuples(cells, cells, cells), max_size=4)


@given(rows)
def test_columns_line_up(rows: list[tuple[str, ...]]) -> None:
    header = ("one", "two", "three")
    first, rule, *others = columns(header, rows, right=(1,))
    width = [len(part) for part in rule.split("  ")]
    starts = (0, width[0] + 2, width[0] + width[1] + 4)
    for line, row in zip((first, *others), (header, *rows), strict=True):
        parts = [line.ljust(sum(width) + 4)[start : start + w] for start, w in zip(starts, width, strict=True)]
        assert parts == [row[0].ljust(width[0]), row[1].rjust(width[1]), row[2].ljust(width[2])]
    assert columns(header, rows, rule=False, right=(1,)) == [first, *others]


@given(rows, st.integers(1, 40))
def test_a_narrow_page_has_every_column_below_the_first(rows: list[tuple[str, ...]], width: int) -> None:
    header = ("one", "two", "three")
    whole = columns(header, rows, rule=False)
    narrow = columns(header, rows, rule=False, width=width)
    assert columns(header, rows, rule=False, width=max(map(len, whole)) + 8) == whole
    if narrow != whole:
        height = len(rows) + 1
        assert narrow == [
            *columns(("one", "two"), [row[:2] for row in rows], rule=False),
            "",
            *columns(("one", "three"), [(row[0], row[2]) for row in rows], rule=False),
        ]
        assert narrow[height] == ""


def test_a_cell_cannot_break_a_markdown_table() -> None:
    assert markdown_table(("a", "b"), [("1|2", "")]) == "| a    | b |\n| ---- | - |\n| 1\\|2 |   |\n"


@given(st.floats(width=32, allow_nan=False))
def test_a_float32_is_read_back_from_csv(value: float) -> None:
    _, (name, text) = csv.reader(io.StringIO(csv_table(("name", "value"), [("x", value)]).decode()))
    assert name == "x"
    assert np.float32(text) == np.float32(value)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.26, "0.3 s"), (9.4, "9.4 s"), (45.2, "45 s"), (100, "2 min"), (3000, "50 min"), (12_000, "3 h 20 min")],
)
def test_times_are_told_to_about_two_digits(seconds: float, words: str) -> None:
    assert duration(seconds) == words
