"""Which answers of `leakysm predict` its picture marks as doubtful."""

from __future__ import annotations

import pytest

from leakysm.predict.picture import doubt
from leakysm.predict.predict import Candidate


@pytest.mark.parametrize(
    ("probabilities", "far", "words"),
    [
        ((0.9, 0.1), False, ""),
        ((0.6, 0.4), False, "\ndoubtful: or b, 40.0 %"),
        ((0.5, 0.25), False, ""),
        ((0.99, 0.01), True, "\ndoubtful: nothing here is close"),
    ],
)
def test_a_second_class_half_as_probable_or_a_far_first_is_doubtful(
    probabilities: tuple[float, float], far: bool, words: str
) -> None:
    classes = [Candidate(name, p, 1.0, None) for name, p in zip("ab", probabilities, strict=True)]
    assert doubt(classes, far) == words
