"""What `Engine.operation` gives to a fast pair, and what to the reference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from leakysm.backends.protocol import Pair, ReferenceSaved, reference_pair
from leakysm.backends.reference import ReferenceEngine
from leakysm.errors import UserError


class Kept(NamedTuple):
    """What the fast pairs of these tests save."""

    x: np.ndarray


def forward(x: np.ndarray, *others: np.ndarray) -> tuple[str, Kept]:
    return "fast", Kept(x)


def engine(name: str) -> ReferenceEngine:
    """With a pair of this operation that says who computed."""
    made = ReferenceEngine()
    made.pairs[name] = Pair(forward, lambda saved, dy: ("fast", saved.x, dy))
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_single_and_double_go_to_the_fast_pair(dtype: str) -> None:
    x, pair = np.ones(3, dtype), engine("relu").operation("relu")
    y, saved = pair.forward(x)
    assert y == "fast"
    assert pair.backward(saved, 2) == ("fast", x, 2)


def test_half_goes_to_the_reference_forwards_and_backwards() -> None:
    x, pair = np.array([-1, 2], "float16"), engine("relu").operation("relu")
    y, saved = pair.forward(x)
    np.testing.assert_array_equal(y, [0, 2])
    assert isinstance(saved, ReferenceSaved)
    np.testing.assert_array_equal(pair.backward(saved, x), [0, 2])


@pytest.mark.parametrize("wrong", [3, [1.0], np.ones(2, int)])
def test_wrong_arguments_are_told_by_the_reference(wrong: object) -> None:
    with pytest.raises(UserError):
        engine("relu").operation("relu").forward(wrong)


@pytest.mark.parametrize(("channels", "filters", "fast"), [(2, 3, True), (0, 3, False), (2, 0, False)])
def test_convolutions_without_a_channel_or_filter_go_to_the_reference(channels: int, filters: int, fast: bool) -> None:
    x, w = np.ones((1, 4, 4, channels), "float32"), np.ones((3, 3, channels, filters), "float32")
    y, _ = engine("conv2d").operation("conv2d").forward(x, w)
    assert (y is forward(x)[0]) == fast


def test_a_fast_forward_pass_can_leave_its_arguments_to_the_reference() -> None:
    made, x = ReferenceEngine(), np.array([-1, 2], "float32")
    made.pairs["relu"] = Pair(reference_pair("relu").forward, lambda saved, dy: pytest.fail("not the fast one"))
    pair = made.operation("relu")
    np.testing.assert_array_equal(pair.backward(pair.forward(x)[1], x), [0, 2])


def test_an_operation_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        ReferenceEngine().operation("nothing")
