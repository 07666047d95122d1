"""Failing cases become small and stay failing."""

import numpy as np
import pytest

from leakysm.verify.conformance import fixed_case
from leakysm.verify.shrink import shrink

LONG = 20.0  # seconds: more than any of these takes


def test_rows_that_do_not_matter_go_and_numbers_become_plain() -> None:
    case = fixed_case("squared_euclidean/many-rows")
    small = shrink(case, lambda c: bool((c.arguments[0] > 100).any()), LONG)
    x, c = small.arguments
    assert x.shape == c.shape == (1, 1)
    assert small.dy.shape == (1, 1)
    assert x[0, 0] > 100
    assert c[0, 0] in (0, 1, 100)


def test_labels_are_renumbered_with_their_rows() -> None:
    case = fixed_case("prototypes/unbalanced")
    small = shrink(case, lambda c: c.arguments[2] >= 2, LONG)
    z, labels, n_classes = small.arguments
    assert n_classes == 2
    assert sorted(labels) == [0, 1]
    assert len(z) == 2


@pytest.mark.parametrize("name", ["max_pool2d/odd", "conv_block/plain", "prototypical_loss/leaky-unbalanced"])
def test_what_is_left_is_still_a_call(name: str) -> None:
    case = fixed_case(name)
    small = shrink(case, lambda c: True, LONG)
    with np.errstate(all="ignore"):
        y = small.definition.value(*small.arguments, **small.parameters)
    assert np.shape(y[0] if isinstance(y, tuple) else y) == np.shape(small.dy)
    assert np.size(small.dy) > 0  # empty arrays are checked with --strict only
    assert small.size < case.size


def test_nothing_smaller_is_made_of_what_no_longer_fails() -> None:
    case = fixed_case("relu/plain")
    assert np.array_equal(shrink(case, lambda c: False, LONG).arguments[0], case.arguments[0])
