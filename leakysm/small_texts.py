"""TOML and JSON read within a bound: settings, summaries and manifests are small, whatever a file claims.

Python's parsers recurse at each bracket, the one of TOML takes time quadratic in the parts of a key, and whole
numbers of thousands of digits raise another error than the rest.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

MOST_DIGITS = 300  # of a number: more are beyond a float
MOST_DOTS = 200  # in a line of TOML
DEEPEST = 60  # brackets in brackets
_DIGITS = re.compile(rf"[0-9_]{{{MOST_DIGITS + 1}}}")


def parse_toml(text: str) -> dict[str, Any]:
    """The content of a TOML text. ValueError, in one line, if it is none, or beyond the bounds."""
    _require_small(text)
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise ValueError(f"a line has more than {MOST_DOTS} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def parse_json(content: bytes) -> Any:
    """The value of a JSON text in UTF-8. ValueError, in one line, if it is none, or beyond the bounds."""
    text = content.decode()
    _require_small(text)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _require_small(text: str) -> None:
    if _DIGITS.search(text):
        raise ValueError(f"a number has more than {MOST_DIGITS} digits")
    depth = 0
    for bracket in re.finditer(r"[\[\]{}]", text):  # those in texts count too, which does no harm
        depth = depth + 1 if bracket[0] in "[{" else max(0, depth - 1)
        if depth > DEEPEST:
            raise ValueError(f"brackets are more than {DEEPEST} deep")
