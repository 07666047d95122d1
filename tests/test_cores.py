from __future__ import annotations

import os
from pathlib import Path

import pytest

from leakysm import cores
from leakysm.backends.numpy.threads import Workers
from leakysm.cores import usable_cores
from leakysm.runs.environment import environment

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system knows no affinity")


@pytest.fixture(autouse=True)
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 6 cores without a limit; the folder of its control groups."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    monkeypatch.setattr(cores, "PROCESS", tmp_path / "process")
    monkeypatch.setattr(cores, "GROUPS", tmp_path / "groups")
    return tmp_path / "groups"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.mark.parametrize("own", [{0}, {0, 3, 5}])
def test_only_the_cores_that_the_process_may_use_count(monkeypatch: pytest.MonkeyPatch, own: set[int]) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: own)
    assert usable_cores() == Workers().threads == environment()["cores"] == len(own)


@pytest.mark.parametrize(("count", "expected"), [(6, 6), (None, 1)])
def test_without_affinity_all_cores_count(monkeypatch: pytest.MonkeyPatch, count: int | None, expected: int) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cores() == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("4", 4), (" 3,2 ", 3), ("60", 6), ("0", 6), ("-1", 6), ("", 6), ("²", 6), ("9" * 5000, 6)]
)
def test_openmps_number_of_threads_counts(monkeypatch: pytest.MonkeyPatch, text: str, expected: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert usable_cores() == expected


@pytest.mark.parametrize(
    ("own", "around", "expected"),
    [
        ("200000 100000", "max 100000", 2),
        ("max 100000", "350000 100000", 4),
        ("50000 100000", None, 1),
        (None, "300000 100000", 3),
        ("max 100000", "max 100000", 6),
        ("900000 100000", "nonsense", 6),
    ],
)
def test_a_quota_of_the_group_or_of_one_around_it_counts(
    groups: Path, own: str | None, around: str | None, expected: int
) -> None:
    write(cores.PROCESS, "0::/a/b")
    for folder, text in (("a/b", own), ("a", around)):
        if text:
            write(groups / folder / "cpu.max", text)
    assert usable_cores() == expected


@pytest.mark.parametrize(("quota", "expected"), [("150000", 2), ("-1", 6)])
def test_a_quota_of_the_older_groups_counts(groups: Path, quota: str, expected: int) -> None:
    """The group itself is not to be seen, as in a container."""
    write(cores.PROCESS, "4:memory:/x\n3:cpu,cpuacct:/docker/1\n0::/docker/1")
    write(groups / "cpu,cpuacct/cpu.cfs_quota_us", quota)
    write(groups / "cpu,cpuacct/cpu.cfs_period_us", "100000")
    assert usable_cores() == expected
