"""The report of a folder: a run, a comparison, a sweep or an experiment with gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from leakysm.backends import Engine
from leakysm.data.dataset import Report
from leakysm.errors import UserError
from leakysm.files import create_atomically, printable, write_atomically
from leakysm.report.comparison import comparison_page
from leakysm.report.gradients import gradients_page
from leakysm.report.page import LARGEST, MARK
from leakysm.report.run import run_page
from leakysm.report.sweep import sweep_page

NAME = "report.html"
PAGES = {"comparison.json": comparison_page, "sweep.json": sweep_page, "gradients.json": gradients_page}
MEND = "name a run's folder, or one that compare, sweep or gradients wrote"


def page_of(
    folder: Path,
    engine: Engine,
    *,
    data: Path | None = None,
    trust: bool = False,
    progress: Report = lambda done, total: None,
    tell: Callable[[str], None] = lambda words: None,
) -> bytes:
    """The HTML page of a run's folder, or of one that compare, sweep or gradients wrote: UTF-8, LARGEST bytes at most.

    engine: what embeds a run's images. data: where they are, if not where config.toml says. trust: whether the code of
    the run's own formula may be run. progress(done, total) is called while images are embedded, and episodes tested;
    tell(words) for whatever the page cannot show. UserError if the folder is none of these, a file of it is damaged, or
    the given data cannot be read.
    """
    if (folder / "config.toml").exists():
        page = run_page(folder, engine, data, progress, trust=trust)
    else:
        names = [name for name in PAGES if (folder / name).exists()]
        if not names:
            if not folder.exists():
                raise UserError(f"{printable(folder)} does not exist; {MEND}")
            expected = f"neither config.toml nor any of {', '.join(PAGES)}"
            raise UserError(f"{printable(folder)} holds nothing to report on ({expected}); {MEND}")
        if data or trust:
            option = "--data" if data else "--trust"
            raise UserError(f"{option} is given, but {printable(folder)} is not a run; leave it out")
        page = PAGES[names[0]](folder)
    content = page.html()
    if len(content) > LARGEST:
        raise UserError(
            f"{printable(folder)}: its page would have {len(content)} bytes, at most {LARGEST} are expected; "
            "make a page of each of its runs"
        )
    for words in page.lacks:
        tell(words)
    return content


def write_report(path: Path, content: bytes) -> None:
    """Write the page, in place of an older report. UserError if something else is there, or it cannot be written."""
    try:
        create_atomically(path, content)
    except FileExistsError:
        if not _is_report(path):
            raise UserError(f"{printable(path)} exists already and is not a report; give another --out") from None
        write_atomically(path, content)


def _is_report(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MARK)) == MARK
