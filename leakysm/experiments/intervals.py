"""Means and their intervals in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leakysm.experiments.student import LEAST


def with_interval(mean: float, interval: float | None, sign: str = "") -> str:
    """12.34 +- 0.56, or the mean alone. sign: "+" writes a plus before a positive mean."""
    return f"{mean:{sign}.2f}" + ("" if interval is None else f" +- {interval:.2f}")


def differences_in_words(
    test: str, baseline: str, differences: Mapping[str, tuple[float, float | None]], seeds: Sequence[int]
) -> str:
    """Every setting's difference from the baseline, in a sentence: (mean, 95 % interval) in percentage points.

    A difference that its interval cannot tell from 0 is marked; so are too few seeds for an interval.
    """
    n = len(seeds)
    many = f"seed {seeds[0]}" if n == 1 else f"{n} seeds"
    around = f"95 %, {many}" if n >= LEAST else f"{many}; fewer than {LEAST} seeds give no interval"
    parts = []
    for label, (mean, interval) in differences.items():
        chance = " (may be chance)" if interval is not None and abs(mean) <= interval else ""
        parts.append(f"{label} {with_interval(mean, interval, sign='+')}{chance}")
    return f"{test}, percentage points against {baseline} ({around}): {'; '.join(parts)}"
