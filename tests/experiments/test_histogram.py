"""Histograms: every value falls into exactly one bin, the one whose edges enclose it."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from leakysm.experiments.gradients.histogram import EDGES, counts, rows
from leakysm.experiments.gradients.measure import Pairs

values = st.floats(0, math.inf) | st.sampled_from(EDGES.tolist())


@given(st.lists(values, min_size=1, max_size=30))
@example([0.0, math.inf, 1.0])
def test_every_value_is_counted_once_between_its_edges(given_values: list[float]) -> None:
    found = counts(np.array(given_values))
    assert found.sum() == len(given_values)
    for k, count in enumerate(found):
        last = k == len(EDGES) - 2
        inside = [v for v in given_values if EDGES[k] <= v < EDGES[k + 1] or (last and v == math.inf)]
        assert count == len(inside)


@given(st.lists(values, min_size=4, max_size=4), st.lists(values, min_size=4, max_size=4))
def test_rows_hold_every_pair_of_every_watched_step(distances: list[float], gradients: list[float]) -> None:
    pairs = Pairs(np.array(distances).reshape(2, 2), np.array(gradients).reshape(2, 2))
    listed = list(rows({("leaky", 7, 3): pairs}))
    assert {row[:3] for row in listed} == {("leaky", 7, 3)}
    for quantity in ("distance", "gradient"):
        assert sum(int(row[6]) for row in listed if row[3] == quantity) == 4
    assert all(row[4] < row[5] and row[6] > 0 for row in listed)
