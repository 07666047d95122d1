"""Memory that is lent, comes back, and is lent again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from leakysm.backends.numpy.memory import LINE, Memory, aligned


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=4), dtype=st.sampled_from(["float32", "float64", bool]))
def test_arrays_are_what_was_asked_for(shape, dtype):
    for array in (aligned(tuple(shape), dtype), Memory()(tuple(shape), dtype)):
        assert array.shape == tuple(shape)
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert address(array) % LINE == 0


def test_memory_is_lent_again_when_the_last_view_is_gone():
    memory = Memory()
    array = memory((100, 10), "float32")
    where, view = address(array), array[50:, 3]
    del array
    assert address(memory((100, 10), "float32")) != where  # the view is still there
    del view
    assert address(memory((1000,), "int32")) == where


@given(sizes=st.lists(st.integers(0, 2000), max_size=30), kept=st.lists(st.booleans(), min_size=30, max_size=30))
def test_arrays_in_use_never_overlap_and_nothing_beyond_the_most_in_use_is_kept(sizes, kept):
    memory, in_use, most = Memory(), [], 0
    for number, (size, keep) in enumerate(zip(sizes, kept, strict=False)):
        array = memory((size,), "int64")
        array[...] = number
        in_use.append((number, array))
        most = max(most, sum(a.nbytes for _, a in in_use))
        if not keep:
            del in_use[0]
        del array
        assert all((a == n).all() for n, a in in_use)
    in_use.clear()
    assert memory.kept <= most * 1.25
