"""What is looked at of a large case: its exact results are those of the whole case at the same places."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from leakysm.verify import entries  # noqa: F401  (registers the package's operations)
from leakysm.verify.bounds import Precision
from leakysm.verify.cases.equal import plain_case
from leakysm.verify.registry import ENTRIES, Truth
from leakysm.verify.sample import ChannelSample, PairSample

SAMPLED = [truth for entry in ENTRIES.values() for truth in entry.truths if truth.case.sample is not None]
BY_CHANNELS = sorted({t.case.operation for t in SAMPLED if isinstance(t.case.sample, ChannelSample)})
BY_PAIRS = sorted({t.case.operation for t in SAMPLED if isinstance(t.case.sample, PairSample)})


def agree(operation: str, sample: Any, dy: Any = None) -> None:
    entry = ENTRIES[operation]
    case = plain_case([truth.case for truth in entry.truths])
    case = case if dy is None else replace(case, dy=dy(case.dy))
    whole, some = Truth(entry, case), Truth(entry, replace(case, sample=sample))
    for full, part in zip((*whole.value, *whole.vjp), (*some.value, *some.vjp), strict=True):
        assert part.shape == full.shape
        for name in ("high", "low", "zero"):
            np.testing.assert_array_equal(getattr(part, name), part.pick(getattr(full, name)), err_msg=name)
        # Scales may be added up in float64, in another order.
        np.testing.assert_allclose(part.scale, part.pick(full.scale), rtol=1e-14)
        assert np.all(part.under <= part.pick(full.under) * (1 + 1e-14))  # fewer filters, fewer terms
        last = tuple(n - 1 for n in part.high.shape)
        assert full.high[part.place(last)] == part.high[last]


@pytest.mark.parametrize("operation", BY_PAIRS)
def test_some_pairs_are_those_of_the_whole(operation: str) -> None:
    agree(operation, PairSample(np.array([0, 2]), np.array([1])))


@pytest.mark.parametrize("operation", BY_CHANNELS)
def test_some_channels_are_those_of_the_whole(operation: str) -> None:
    sample = ChannelSample(np.array([1]))
    convolves = "conv" in operation
    agree(operation, sample, lambda dy: dy * (np.arange(dy.shape[-1]) == 1) if convolves else dy)


@pytest.mark.parametrize("truth", [t for t in SAMPLED if "block" in t.case.operation], ids=lambda t: t.case.id)
def test_no_choice_is_open_among_the_windows_looked_at(truth: Truth) -> None:
    assert truth.case.sample is not None
    cut = Truth(truth.entry, truth.case.sample.cut(truth.case))
    assert cut.open_gradients(Precision("float32"), "any") == (None,) * len(truth.entry.gradients)


def test_a_convolution_has_no_gradient_at_the_channels_that_are_not_looked_at() -> None:
    for truth in SAMPLED:
        if "conv" in truth.case.operation and isinstance(truth.case.sample, ChannelSample):
            others = np.delete(truth.case.dy, truth.case.sample.channels, axis=-1)
            assert not others.any(), truth.case.id
