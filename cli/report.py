"""`leakysm report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from leakysm_cli import options as o


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder of a finished run, or one that compare, sweep or gradients wrote."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="HTML file to write.", show_default="FOLDER/report.html")] = None,
    data: o.Data = None,
    backend: o.Backend = None,
    device: o.Device = None,
    threads: o.Threads = None,
    trust: o.Trust = False,
) -> None:
    """Write a web page about a run or an experiment, with sliders for threshold and slope.

    The page needs no network and no other file. For a run it has results, curves, an episode with the net's answers,
    the worst classes, and sliders for threshold and slope that work on the run's own distances.

    Example: leakysm report runs/20260101-120000-omniglot --out omniglot.html
    """
    from leakysm_cli.progress import shown_count

    from leakysm.errors import UserError
    from leakysm.files import printable
    from leakysm.report.report import NAME, page_of, write_report
    from leakysm.runs.device import engine_for

    out = out or folder / NAME
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out is {printable(out)}: an HTML file is written; give a name that ends in .html")
    with shown_count("embedding and testing") as shown:
        engine, lacks = engine_for(device, backend, threads), list[str]()
        content = page_of(folder, engine, data=data, trust=trust, progress=shown, tell=lacks.append)
    write_report(out, content)
    for words in lacks:
        typer.echo(f"leakysm: {printable(words)}", err=True)
    print(f"{printable(out)}: {len(content) / 1e3:.0f} kB; open it in a browser")
