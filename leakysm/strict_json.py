"""JSON that every reader takes: Python's own writer also writes Infinity and NaN, which are not JSON."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(content: object, *, indent: int | None = None, compact: bool = False, sort_keys: bool = False) -> str:
    """Strict JSON, with null for a float that is not finite.

    indent: spaces for each level; None writes one line. compact: no space after a comma or a colon.
    """
    separators = (",", ":") if compact else None
    return json.dumps(_finite(content), indent=indent, separators=separators, sort_keys=sort_keys, allow_nan=False)


def json_bytes(content: object) -> bytes:
    """Strict JSON as a file that people can read."""
    return (json_text(content, indent=2) + "\n").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
