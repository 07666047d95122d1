"""The five-point difference, by which every gradient is checked numerically."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def five_points(f: Mapping[int, Any], h: float) -> Any:
    """The slope (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12 h. f: its values by the number of steps h, here -2, -1, 1, 2.

    Values are numbers or arrays. The truncation is of the size of h^4. Source: Fornberg (1988), table 1.
    """
    return (f[-2] - 8 * f[-1] + 8 * f[1] - f[2]) / (12 * h)
