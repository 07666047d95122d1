"""`leakysm sweep`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from leakysm_cli import options as o
from leakysm_cli.progress import shown_count
from leakysm_cli.train import refuse_a_runs_folder

if TYPE_CHECKING:
    from leakysm.experiments.sweep.file import Point
    from leakysm.experiments.sweep.report import Found
    from leakysm.experiments.sweep.sweep import States


def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.toml", help="Shared settings, a table grid, and tables control.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the runs, tables and heat map.", show_default="runs/<FILE's name>")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time on this machine.", show_default="one for each core")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="A Dask cluster's scheduler, tcp://HOST:PORT; its workers must see --out and --data."),
    ] = None,
    backend: o.Backend = None,
    device: o.Device = None,
    threads: o.Threads = None,
    json: o.Json = False,
) -> None:
    """Train every combination of a grid of settings, and tell which did best.

    The same command again goes on: finished runs are recognised by their whole configuration, runs that were cut off
    are resumed, failed ones are tried again. A failure stops no other run; exit 1 if there was any.

    Example: leakysm sweep grid.toml --jobs 2

    The file holds settings by their names in a run's config.toml, a table grid of lists to combine, and tables
    control of settings beside the grid; docs/experiments.md shows one.
    """
    from leakysm.cores import usable_cores
    from leakysm.experiments.outputs import write_files
    from leakysm.experiments.sweep import sweep as sweeps
    from leakysm.experiments.sweep.file import local_machine, points, read_sweep, remote_machine
    from leakysm.experiments.sweep.report import found

    if scheduler:
        o.refuse("is for this machine, but --scheduler is given; leave one out", jobs=jobs)
    out = (out or Path("runs") / file.stem).absolute()
    refuse_a_runs_folder(out)
    content = read_sweep(file)
    options: dict[str, Any] = {"backend": backend, "device": device, "threads": threads}
    given = {key: content.shared[key] for key in options if key in content.shared}
    given |= {key: value for key, value in options.items() if value is not None}
    jobs = jobs or usable_cores()
    machine = remote_machine(given) if scheduler else local_machine(given, max(1, usable_cores() // jobs))
    with shown_count("reading images") as report:
        runs = points(content, machine, report)
    write_files(out, {})  # a sweep that cannot begin leaves no folder
    pool = sweeps.dask_pool(scheduler) if scheduler else nullcontext(sweeps.local_pool(jobs))
    try:
        with pool as opened, _shown(out) as watch:
            states = sweeps.run_all(runs, out, opened, watch)
    except KeyboardInterrupt:
        typer.echo("leakysm: stopped; the same command goes on", err=True)
        raise
    result = found(states, out)
    _report(result, out, json)
    if any(state.error for state in result.states.values()):
        raise typer.Exit(1)


def _report(result: Found, out: Path, as_json: bool) -> None:
    from leakysm.experiments.outputs import write_files
    from leakysm.experiments.sweep.report import heat_map, markdown, to_json
    from leakysm.strict_json import json_text

    text, table, picture = json_text(to_json(result), indent=2), markdown(result), heat_map(result)
    write_files(out, {"sweep.json": f"{text}\n".encode(), "sweep.md": table.encode()})
    if picture:
        write_files(out, {"heatmap.png": picture})
    if as_json:
        print(text)
        return
    failed = sum(state.error is not None for state in result.states.values())
    print(table)
    print(out)
    print(f"{len(result.finished)} runs finished, {failed} failed")


@contextmanager
def _shown(out: Path) -> Iterator[Callable[[States], None]]:
    """On a terminal a table of the runs at work; a line for each run that ends, everywhere on standard error."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    told: set[Point] = set()
    with Live(console=console, transient=True, auto_refresh=False) as live:

        def watch(states: States) -> None:
            for point, state in states.items():
                if state.status in ("finished", "failed") and point not in told:
                    told.add(point)
                    line = f"{state.status}: {point.setting}, seed {point.config.seed}"
                    live.console.print(f"{line}: {state.error}" if state.error else line, markup=False, soft_wrap=True)
            if console.is_terminal:
                live.update(_table(states, out), refresh=True)

        yield watch


def _table(states: States, out: Path) -> Any:
    from rich.table import Table

    ended = sum(state.status in ("finished", "failed") for state in states.values())
    table = Table(title=f"{ended} of {len(states)} runs", box=None)
    for column in ("setting", "seed", "episode"):
        table.add_column(column)
    for point, state in states.items():
        if state.status == "running":
            episode = f"{_episodes(out / point.folder)} of {point.config.episodes}"
            table.add_row(point.setting, str(point.config.seed), episode)
    return table


def _episodes(folder: Path) -> int:
    """Rows of a run's metrics.csv so far."""
    from leakysm.runs import RunFolder

    try:
        return max(0, RunFolder(folder).metrics.read_bytes().count(b"\n") - 1)
    except OSError:
        return 0
