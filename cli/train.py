"""`leakysm train`."""

from __future__ import annotations

import itertools
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from leakysm_cli import options as o
from leakysm_cli.progress import shown_count, shown_run


def train(
    dataset: o.Dataset = None,
    data: o.Data = None,
    split: o.Split = None,
    way: o.Way = None,
    shot: o.Shot = None,
    query: o.Query = None,
    episodes: o.Episodes = None,
    distance: o.Distance = None,
    threshold: o.Threshold = None,
    slope: o.Slope = None,
    per: o.Per = None,
    optimizer: o.Optimizer = None,
    learning_rate: o.LearningRate = None,
    halve_every: o.HalveEvery = None,
    checkpoint_every: o.CheckpointEvery = None,
    seed: o.Seed = None,
    test_way: o.TestWay = None,
    test_shot: o.TestShot = None,
    test_query: o.TestQuery = None,
    test_episodes: o.TestEpisodes = None,
    norm: o.Norm = None,
    backend: o.Backend = None,
    device: o.Device = None,
    threads: o.Threads = None,
    tf32: o.Tf32 = None,
    config: o.Config = None,
    out: o.Out = None,
    resume: o.Resume = False,
) -> None:
    """Train a few-shot classifier and test it; with no options on built-in strokes, in about a minute.

    Example: leakysm train --dataset omniglot --data FOLDER --distance leaky --way 30 --episodes 1500
    """
    _train(o.given(locals(), without=("config", "out", "resume")), config, out, resume)


def _train(given: dict[str, Any], file: Path | None, out: Path | None, resume: bool) -> None:
    from leakysm.runs import RunFolder, prepare, to_resume, train, under_options
    from leakysm.runs.settings import read_settings

    if file:
        given = under_options(read_settings(file), given)
    folder = RunFolder(out) if out else to_resume(given, Path("runs").glob("*")) if resume else None
    if folder:
        folder.refuse_a_run(resume=resume)
        if resume and not folder.config.exists():  # of a run that was killed at once, or a name mistyped
            typer.echo(f"leakysm: {folder.path} holds no run to go on with; a new one begins", err=True)
    with shown_count("reading images") as report:
        config, data = prepare(given, folder, report)
    folder = folder or RunFolder(new_folder(config.dataset))
    typer.echo(f"run folder: {folder.path}")
    where = f"{config.device} ({config.backend} backend)"
    typer.echo(f"training on {config.dataset}, {config.way}-way {config.shot}-shot, {config.metric}, on {where}")
    try:
        with shown_run() as report_run:
            summary = train(config, data=data, out=folder.path, resume=resume, report=report_run)
    except KeyboardInterrupt:
        typer.echo(f"leakysm: stopped; the same command with --out {folder.path} --resume goes on", err=True)
        raise
    finally:
        if not out:
            remove_empty(folder.path)
    for tested in summary.tests[1:]:
        typer.echo(tested)
    typer.echo(f"run folder: {folder.path}")
    typer.echo(summary.tests[0])


def new_folder(dataset: str) -> Path:
    """Make runs/<time>-<dataset> in the working directory, counted on where that is taken."""
    first = Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-{dataset}"
    for i in itertools.count():
        path = first.with_name(f"{first.name}-{i}") if i else first
        with suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
    raise AssertionError("unreachable")


def refuse_what_is_there(out: Path, mend: str = "choose another --out") -> None:
    """UserError unless an experiment may write to `out`: a folder that is empty, or not there yet."""
    from leakysm.errors import UserError

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already; {mend}")


def refuse_a_runs_folder(out: Path) -> None:
    """UserError if `out`, an experiment's folder of runs, is a run's own."""
    from leakysm.errors import UserError

    if (out / "config.toml").exists():
        raise UserError(f"{out} is the folder of a run; choose another --out")


def remove_empty(path: Path) -> None:
    """A folder that was made for a run that could not begin goes, and the one around it if that is empty, too."""
    with suppress(OSError):
        path.rmdir()
        path.parent.rmdir()
