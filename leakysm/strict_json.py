"""JSON that every reader takes: Python's own writes Infinity and NaN, which are no JSON."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(content: object, *, indent: int | None = None) -> str:
    """Strict JSON: null for a float that is not finite. indent: spaces a level; None for one line."""
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
