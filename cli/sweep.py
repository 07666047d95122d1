"""`leakysm sweep`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from leakysm_cli import options as o
from leakysm_cli.folders import refuse_another_kind
from leakysm_cli.output import print_json
from leakysm_cli.own_distance import refuse_wrong
from leakysm_cli.progress import Lines, shown_count
from leakysm_cli.stopping import same_command, stop_after_step

if TYPE_CHECKING:
    from leakysm.experiments.sweep.file import SweepFile
    from leakysm.experiments.sweep.points import Point
    from leakysm.experiments.sweep.report import SweepResult
    from leakysm.experiments.sweep.run_all import States

FILES = ("sweep.json", "sweep.md", "heatmap.png", "report.html")


def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.toml", help="Settings of all runs, a table [grid], and tables [[control]].")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the runs, the tables and the heat map.", show_default="runs/<FILE's name>"),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Number of runs at a time on this machine.", show_default="one for each core"),
    ] = None,
    dry_run: o.DryRun = False,
    json: o.Json = False,
    device: o.Device = None,
    threads: o.Threads = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Scheduler of a Dask cluster, tcp://HOST:PORT. Its workers must see --out and --data.",
            rich_help_panel=o.MACHINE,
        ),
    ] = None,
    backend: o.Backend = None,
) -> None:
    """Train every combination of a grid of settings, and rank the settings by their accuracy.

    All runs of the first seed come first, then those of the second, and so on. To continue a sweep, run the same
    command: finished runs are kept, runs that were cut off are resumed, failed ones are tried again. One failed run
    does not stop the others; the exit status is then 1.

    Example: leakysm sweep grid.toml --jobs 2

    The file holds settings by their names in a run's config.toml, a table [grid] of lists to combine, and tables
    [[control]] of settings beside the grid; docs/experiments.md shows one.
    """
    from leakysm_cli import before

    from leakysm.cores import usable_cores
    from leakysm.experiments.outputs import write_files
    from leakysm.experiments.sweep.file import read_sweep
    from leakysm.experiments.sweep.points import local_machine, remote_machine
    from leakysm.experiments.sweep.pools import dask_pool, local_pool
    from leakysm.experiments.sweep.report import read_results
    from leakysm.experiments.sweep.run_all import run_all

    if scheduler:
        o.refuse("is for this machine, but --scheduler is given; leave one out", jobs=jobs)
    out = (out or Path("runs") / file.stem).absolute()
    refuse_another_kind(out, FILES)
    content = read_sweep(file)
    options: dict[str, Any] = {"backend": backend, "device": device, "threads": threads}
    given = {key: content.shared[key] for key in options if key in content.shared}
    given |= {key: value for key, value in options.items() if value is not None}
    jobs = jobs or usable_cores()
    machine = remote_machine(given) if scheduler else local_machine(given, max(1, usable_cores() // jobs))
    runs, time = _points(content, machine, out, 0 if scheduler else jobs, always=dry_run)
    if dry_run:
        typer.echo(before.dry_sweep(content, [point.config for point in runs], time), nl=False)
        return
    write_files(out, {})  # a sweep that cannot begin leaves no folder
    pool = dask_pool(scheduler) if scheduler else nullcontext(local_pool(jobs))
    try:
        with stop_after_step() as stop, pool as opened:
            typer.echo("\n".join([f"folder: {out}", _counted(len(runs)), *time]), err=True)
            with _shown(out) as watch:
                states = run_all(runs, out, opened, watch, stop)
    except KeyboardInterrupt:
        typer.echo(f"Stopped. Continue: {same_command()}", err=True)
        raise
    result = read_results(states, out)
    _report(result, out, json)
    if any(state.error for state in result.states.values()):
        raise typer.Exit(1)


def _points(
    content: SweepFile, machine: dict[str, Any], out: Path, jobs: int, *, always: bool
) -> tuple[list[Point], list[str]]:
    """The runs, and a line with the time of the unfinished ones; short runs have none, unless `always` is true.

    jobs: how many run at a time on this machine; 0: on others.
    """
    from leakysm_cli import before

    from leakysm.errors import UserError
    from leakysm.experiments.finished import is_finished
    from leakysm.experiments.sweep.points import points, with_another_text
    from leakysm.runs import Loader

    with shown_count("reading images") as report:
        load = Loader(report)
        runs = points(content, machine, load)
    refuse_wrong(point.config for point in runs)
    if another := with_another_text(runs, out):
        told = f"the text of the formula's file has changed; earlier runs ({len(another)}) are kept, but not used"
        typer.echo(f"leakysm: warning: {told}", err=True)
    left = []
    for point in runs:
        with suppress(UserError):  # a damaged run is reported when its turn comes
            if not is_finished(out / point.folder, point.config):
                left.append(point.config)
    if not always and all(config.episodes < before.FEWEST for config in left):
        return runs, []
    if not jobs:
        return runs, ["time: unknown; it depends on the cluster's workers"]
    return runs, [before.time_of_runs([(config, load(config.settings())) for config in left], jobs)]


def _counted(runs: int) -> str:
    return f"{runs} run{'s' * (runs != 1)}"


def _report(result: SweepResult, out: Path, as_json: bool) -> None:
    from leakysm.experiments.outputs import write_files
    from leakysm.experiments.sweep.report import heat_map, markdown, to_json
    from leakysm.strict_json import json_bytes

    content, table, picture = to_json(result), markdown(result), heat_map(result)
    write_files(out, {"sweep.json": json_bytes(content), "sweep.md": table.encode()})
    if picture:
        write_files(out, {"heatmap.png": picture})
    if as_json:
        print_json(content, indent=2)
        return
    failed = sum(state.error is not None for state in result.states.values())
    print(table)
    print(out)
    print(f"{_counted(len(result.finished))} finished, {failed} failed")


@contextmanager
def _shown(out: Path) -> Iterator[Callable[[States], None]]:
    """Show the states of the runs on standard error: a line for each run that ends. On a terminal there is also a table
    of the runs that are running; elsewhere a line every half minute says how many have ended."""
    from rich.console import Console
    from rich.live import Live

    console, lines = Console(stderr=True), Lines()
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
            else:
                lines.show("runs", len(told), len(states))

        yield watch


def _table(states: States, out: Path) -> Any:
    from rich.table import Table

    from leakysm.runs import RunFolder

    ended = sum(state.status in ("finished", "failed") for state in states.values())
    table = Table(title=f"{ended} of {len(states)} runs", box=None)
    for column in ("setting", "seed", "episode"):
        table.add_column(column)
    for point, state in states.items():
        if state.status == "running":
            episode = f"{RunFolder(out / point.folder).episodes()} of {point.config.episodes}"
            table.add_row(point.setting, str(point.config.seed), episode)
    return table
