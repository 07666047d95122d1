"""The thread pool: order, errors."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.backends.numpy.threads import GROUPS, Workers, in_groups
from leakysm.cores import usable_cores
from leakysm.errors import UserError


@given(items=st.lists(st.integers(), max_size=40), threads=st.integers(1, 5))
def test_results_stand_in_the_order_of_the_items(items, threads):
    assert Workers(threads).map(lambda item: item * 2, items) == [item * 2 for item in items]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("error", [ValueError, IndexError, KeyboardInterrupt])
def test_an_error_reaches_the_caller(threads, error):
    def work(item):
        if item == 3:
            raise error("from the work")

    workers = Workers(threads)
    with pytest.raises(error, match="from the work"):
        workers.map(work, range(8))
    assert workers.map(abs, [-1]) == [1]


def test_the_work_is_shared():
    both = threading.Barrier(2, timeout=60)  # passed by two threads at once, or never
    Workers(2).map(lambda _: both.wait(), range(2))


def test_work_raises_no_floating_point_warning():
    zero = np.zeros(3)
    assert all(np.isnan(result).all() for result in Workers(2).map(lambda _: zero / zero, range(3)))


@given(items=st.lists(st.integers(), max_size=300))
def test_groups_keep_the_order_and_every_item(items):
    groups = in_groups(items)
    assert [item for group in groups for item in group] == items
    assert min(1, len(items)) <= len(groups) <= min(GROUPS, len(items))
    lengths = [len(group) for group in groups]
    assert all(after <= before + 1 for before, after in itertools.pairwise(lengths))


@pytest.mark.parametrize("threads", [0, -1, 2.5, "2", True])
def test_a_number_of_threads_below_one_is_a_user_error(threads):
    with pytest.raises(UserError, match=r"^threads is .*; a whole number of at least 1 is expected"):
        Workers(threads)


def test_all_cores_at_hand_are_used_by_default():
    assert Workers().threads == usable_cores() >= 1
