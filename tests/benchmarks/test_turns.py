"""Contenders take turns, and ratios are taken between neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from leakysm_benchmarks import turns
from leakysm_benchmarks.report import UNRELIABLE, lines, memory_lines, verdicts


class Clock:
    """Contenders whose steps take a known time on a clock that the test turns."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(turns.time, "perf_counter", lambda: self.now)

    def contender(self, name, seconds, kind="peer"):
        times = iter(seconds)

        def step():
            self.now += next(times)

        return turns.Call(name, kind, step)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_ratios_are_taken_turn_by_turn(clock):
    """The first turn is not counted; a ratio is the median of theirs over ours beside it."""
    ours = clock.contender("ours", [9, 9, 1, 1, 2, 2, 4, 4])
    theirs = clock.contender("theirs", [1, 1, 3, 3, 2, 2, 8, 8])
    times = turns.take_turns([ours, theirs], [None, None], rounds=3, warm_up=1)
    np.testing.assert_array_equal(times, [[1, 3], [2, 2], [4, 8]])
    (found,) = turns.comparisons([ours, theirs], times, "small")
    assert (found.peer, found.size, found.kind) == ("theirs", "small", "peer")
    assert (found.ratio, found.ours[0], found.theirs[0]) == (2.0, 2.0, 3.0)


@pytest.mark.parametrize(("seconds", "steps"), [(1.0, 1), (0.02, 5), (1e-9, 1000)])
def test_a_turn_of_short_steps_has_many_and_counts_the_later_half(clock, seconds, steps):
    ours = clock.contender("ours", [seconds] * (1 + steps) + [2 * seconds] * steps)
    np.testing.assert_allclose(turns.take_turns_of_short_steps([ours], rounds=1), [[2 * seconds]])


def comparison(peer, ratio, **more):
    return {
        "peer": peer,
        "size": "small",
        "kind": "peer",
        "ratio": ratio,
        "ours": (2.0, 1.0, 3.0),
        "theirs": (0.1,) * 3,
    } | more


def test_the_rival_is_the_fastest_that_is_as_accurate():
    found = [
        comparison("slow", 3.0),
        comparison("quick", 1.5),
        comparison("wrong", 0.2, keeps_small_distances=False),
        comparison("floor", 0.5, kind="floor"),
    ]
    assert verdicts(found) == ["small: the fastest peer, quick, takes 1.50 times our time"]
    table = lines(found)
    assert UNRELIABLE in table[3]
    assert "2 s (1-3)" in table[1]
    assert "100 ms (100-100)" in table[1]


def test_memory_is_told_in_a_line():
    told = memory_lines([{"size": "small", "contender": "leakysm", "megabytes": 123.4}])
    assert told == ["peak memory, small: leakysm 123 MB"]
