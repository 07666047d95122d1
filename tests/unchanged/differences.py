"""How two plain values differ: one line for each difference."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

MOST = 100  # characters of a value that are shown


def differences(recorded: Any, now: Any, where: str = "") -> Iterator[str]:
    """Lines `where: what was, what is`. Two values that are equal give none; 1, 1.0 and True are not equal."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        yield from _of_tables(recorded, now, where)
    elif isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        for place, (old, new) in enumerate(zip(recorded, now, strict=True)):
            yield from differences(old, new, f"{where}[{place}]")
    elif type(recorded) is not type(now) or recorded != now:
        yield f"{where}: {_told(recorded, now)}"


def _of_tables(recorded: dict[str, Any], now: dict[str, Any], where: str) -> Iterator[str]:
    for key in (*recorded, *(key for key in now if key not in recorded)):
        place = f"{where}, {key}" if where else key
        if key not in now:
            yield f"{place}: is gone, was {_short(recorded[key])}"
        elif key not in recorded:
            yield f"{place}: is new, {_short(now[key])}"
        else:
            yield from differences(recorded[key], now[key], place)


def _told(recorded: Any, now: Any) -> str:
    """`was ..., is ...`, shortened; where a text has several lines, only the first line that differs."""
    if isinstance(recorded, str) and isinstance(now, str) and "\n" in recorded:
        lines = zip_longest(recorded.split("\n"), now.split("\n"))
        recorded, now = next((old, new) for old, new in lines if old != new)
    return f"was {_short(recorded)}, is {_short(now)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST else f"{text[:MOST]}..."
