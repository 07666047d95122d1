"""The digests of the reference vectors, computed again by exact arithmetic, which gives the same on every machine.

Of the whole nets only the small ones are computed again. The large ones are float64 results, as the files hold them.
"""

from __future__ import annotations

from pathlib import Path

from leakysm.verify.vectors import make, stored
from tests.unchanged.looked import Looked

DIGITS = 16  # of a digest: enough to see a change


def look(_: Path) -> Looked:
    """Each case's digest."""
    shipped = stored.read_manifest(stored.folder())
    made = {case: group.digest()[:DIGITS] for case, group in sorted(make.operation_groups().items())}
    files = {name: file["sha256"] for name, file in shipped["files"].items()}
    return Looked({"made anew": made, "files": files, "version": shipped["version"], "format": shipped["format"]})


ITEMS = {"vectors": look}
