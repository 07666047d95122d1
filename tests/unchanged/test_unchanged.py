"""Nothing that is recorded has changed. A change that is wanted: python -m tests.unchanged.record --write."""

from __future__ import annotations

import pytest

from tests.unchanged.items import ITEMS, look
from tests.unchanged.record import compare, recorded


@pytest.mark.parametrize("name", ITEMS)
def test_it_is_as_recorded(name: str) -> None:
    lines, why = compare(name, recorded(), look(name))
    assert not lines, "\n".join(lines)
    if why:
        pytest.skip(f"bits not compared, all else is the same: {why}")


def test_nothing_is_left_out() -> None:
    assert list(recorded()) == list(ITEMS)
