"""Means and their intervals in words."""

from __future__ import annotations


def with_interval(mean: float, interval: float | None, sign: str = "") -> str:
    """12.34 +- 0.56, or the mean alone; sign "+" writes one before a positive mean too."""
    return f"{mean:{sign}.2f}" + ("" if interval is None else f" +- {interval:.2f}")
