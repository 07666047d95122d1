"""The thread pool: order, errors, BLAS's own threads."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from leakysm.backends.numpy.threads import GROUPS, Workers, in_groups, single_threaded_blas
from leakysm.cores import usable_cores
from leakysm.errors import UserError

# What another package brings along later, SciPy say, is not NumPy's to use.
AT_HAND = [library["filepath"] for library in threadpool_info() if library["user_api"] == "blas"]


def blas_threads() -> list[int]:
    """Of the libraries that were loaded with NumPy."""
    loaded = {library["filepath"]: library["num_threads"] for library in threadpool_info()}
    return [loaded[path] for path in AT_HAND if "numpy" in path] or [loaded[path] for path in AT_HAND]


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


def test_blas_has_one_thread_while_there_is_work_and_its_own_again_after():
    before = blas_threads()
    found = Workers(2).map(lambda _: blas_threads(), range(4))
    assert found == [[1] * len(before)] * 4
    assert blas_threads() == before


def test_work_within_work_keeps_blas_to_one_thread():
    before = blas_threads()
    with single_threaded_blas:
        Workers(2).map(abs, range(4))
        assert blas_threads() == [1] * len(before)
    assert blas_threads() == before


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
