"""The folders that commands make, and those that they refuse to write to."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from leakysm.errors import UserError


def new_folder(name: str) -> Path:
    """Make runs/<time>-<name> in the working directory, with a number behind it where that is taken."""
    first = Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    for i in itertools.count():
        path = first.with_name(f"{first.name}-{i}") if i else first
        with suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
    raise AssertionError("unreachable")


def refuse_what_is_there(out: Path, mend: str = "choose another --out") -> None:
    """UserError unless an experiment may write to `out`: a folder that is empty, or does not exist yet."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists already; {mend}")


def refuse_another_kind(out: Path, files: Collection[str]) -> None:
    """UserError unless `out` is empty, not there, or holds these files and folders of runs alone.

    Hidden files do not count. A folder of runs is that of a run, or holds such folders.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"{out} is a file, and a folder is expected; choose another --out")
    if (out / "config.toml").exists():
        raise UserError(f"{out} is the folder of a run; choose another --out")
    from leakysm.files import printable

    for path in _visible(out):
        if path.name not in files and not (path.is_dir() and _holds_runs(path)):
            raise UserError(f"{out} holds something else ({printable(path.name)}); choose another --out")


def _holds_runs(folder: Path) -> bool:
    inside = [path.name for path in _visible(folder)]
    one = not inside or "config.toml" in inside or "failure.txt" in inside
    return one or all(name.startswith("seed-") for name in inside)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def remove_empty(path: Path) -> None:
    """Remove a folder that was made for a run that could not begin, and the folder around it; each only if empty."""
    with suppress(OSError):
        path.rmdir()
        path.parent.rmdir()
