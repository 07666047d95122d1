"""Nothing that is recorded has changed. A change that is wanted: python -m tests.unchanged.record --write."""

from __future__ import annotations

import pytest

from tests.unchanged.items import ITEMS, look
from tests.unchanged.record import compare, recorded

# Slow: that no figure of verify's tables changes (tests/verify holds the bounds); training by all distances but one.
SLOW = [n for n in ITEMS if n.startswith("verify/") or (n.startswith("training/") and not n.endswith("leaky-per-pair"))]
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in ITEMS]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_as_recorded(name: str) -> None:
    lines, why = compare(name, recorded(), look(name))
    assert not lines, "\n".join(lines)
    if why:
        pytest.skip(f"bits not compared, all else is the same: {why}")


def test_nothing_is_left_out() -> None:
    assert list(recorded()) == list(ITEMS)
