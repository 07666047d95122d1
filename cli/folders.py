"""The folders that commands make, and those that they refuse to write to."""

from __future__ import annotations

import itertools
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


def refuse_a_runs_folder(out: Path) -> None:
    """UserError if `out`, where an experiment puts the folders of its runs, is the folder of a run itself."""
    if (out / "config.toml").exists():
        raise UserError(f"{out} is the folder of a run; choose another --out")


def remove_empty(path: Path) -> None:
    """Remove a folder that was made for a run that could not begin, and the folder around it; each only if empty."""
    with suppress(OSError):
        path.rmdir()
        path.parent.rmdir()
