"""The report of whatever folder leakysm wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from leakysm.backends import Engine
from leakysm.errors import UserError
from leakysm.files import create_atomically, printable, write_atomically
from leakysm.report.experiments import comparison_page, gradients_page, sweep_page
from leakysm.report.page import LARGEST, MARK
from leakysm.report.run import run_page

NAME = "report.html"
PAGES = {"comparison.json": comparison_page, "sweep.json": sweep_page, "gradients.json": gradients_page}


def report(
    folder: Path,
    engine: Engine,
    *,
    data: Path | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> bytes:
    """The HTML page of a run's folder, or of one that compare, sweep or gradients wrote: UTF-8, LARGEST bytes at most.

    data: where a run's images are, if not where its config.toml says. report(done, total) is called after each episode
    that is tested. UserError if the folder is none of these, or a file of it is damaged.
    """
    if (folder / "config.toml").exists():
        content = run_page(folder, engine, data, report).html()
    else:
        names = [name for name in PAGES if (folder / name).exists()]
        if not names:
            expected = "config.toml, " + ", ".join(PAGES)
            raise UserError(f"{printable(folder)} holds nothing to report on; expected a folder with one of {expected}")
        if data:
            raise UserError(f"--data is given, but {printable(folder)} is no run; leave it out")
        content = PAGES[names[0]](folder).html()
    if len(content) > LARGEST:
        raise UserError(
            f"{printable(folder)}: its report would be {len(content)} bytes, {LARGEST} at most; report on its runs"
        )
    return content


def write_report(path: Path, content: bytes) -> None:
    """Write the page, in place of an older report. UserError if something else is there, or it cannot be written."""
    try:
        create_atomically(path, content)
    except FileExistsError:
        if not _is_report(path):
            raise UserError(f"{printable(path)} is there already and is no report; give another --out") from None
        write_atomically(path, content)


def _is_report(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MARK)) == MARK
