"""How many cores there are to share work among."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path

PROCESS = Path("/proc/self/cgroup")  # a line for each hierarchy of groups: number:what it limits:path of the group
GROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that this process may use, at least 1.

    It is the least of what the system allows (its affinity, and the CPU quota of its control groups, version 1 or 2,
    rounded up) and what the user says by OMP_NUM_THREADS.
    """
    machine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(machine, *map(ceil, _quotas()), _wanted() or machine))


def _wanted() -> int | None:
    """OMP_NUM_THREADS, of which only the outermost level counts; None unless it is a number above 0."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isascii() and first.isdecimal() and len(first) < 10 and int(first) else None


def _quotas() -> Iterator[float]:
    """Cores' worth of time that each control group around this process may use."""
    with suppress(OSError, ValueError):
        for line in PROCESS.read_text().splitlines():
            _, limits, path = line.split(":", 2)
            if not limits:
                yield from _limits(GROUPS, path, ("cpu.max",))
            elif "cpu" in limits.split(","):
                yield from _limits(GROUPS / limits, path, ("cpu.cfs_quota_us", "cpu.cfs_period_us"))


def _limits(root: Path, path: str, files: tuple[str, ...]) -> Iterator[float]:
    """quota / period of the group and of those around it; in a container some of them are not to be seen."""
    group = root / path.lstrip("/")
    for folder in (group, *group.parents):
        with suppress(OSError, ValueError):
            quota, period = " ".join((folder / file).read_text() for file in files).split()
            if float(quota) > 0 and float(period) > 0:  # "max", or -1: no limit
                yield float(quota) / float(period)
        if folder == root:
            return
