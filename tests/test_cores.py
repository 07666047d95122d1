from __future__ import annotations

import os

import pytest

from leakysm.backends.numpy.threads import Workers
from leakysm.cores import usable_cores
from leakysm.runs.environment import environment


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system knows no affinity")
@pytest.mark.parametrize("cores", [{0}, {0, 3, 5}])
def test_only_the_cores_that_the_process_may_use_count(monkeypatch: pytest.MonkeyPatch, cores: set[int]) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    assert usable_cores() == Workers().threads == environment()["cores"] == len(cores)


@pytest.mark.parametrize(("count", "expected"), [(6, 6), (None, 1)])
def test_without_affinity_all_cores_count(monkeypatch: pytest.MonkeyPatch, count: int | None, expected: int) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cores() == expected
