"""How many cores there are to share work among."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores that this process may run on: its affinity where the system knows one, else all of the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
