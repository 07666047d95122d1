"""`leakysm train`."""

from __future__ import annotations

import itertools
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
    given = {name: value for name, value in locals().items() if name not in ("config", "out", "resume")}
    given = {name: str(value) if name == "data" else value for name, value in given.items() if value is not None}
    _train(given, config, out, resume)


def _train(given: dict[str, Any], file: Path | None, out: Path | None, resume: bool) -> None:
    from leakysm.errors import UserError
    from leakysm.training import RunFolder, prepare, train
    from leakysm.training.config import read_settings

    if resume and out is None:
        raise UserError("--resume is given without --out; name the folder of the run to go on with")
    if file:
        given = read_settings(file) | given
    folder = RunFolder(out or new_folder(given.get("dataset", "strokes")))
    folder.refuse_a_run(resume=resume)
    with shown_count("reading images") as report:
        config, data = prepare(given, folder, report)
    where = f"{config.device} ({config.backend} backend)"
    typer.echo(f"training on {config.dataset}, {config.way}-way {config.shot}-shot, {config.metric}, on {where}")
    try:
        with shown_run() as report_run:
            summary = train(config, data=data, out=folder.path, resume=resume, report=report_run)
    except KeyboardInterrupt:
        typer.echo(f"leakysm: stopped; the same command with --out {folder.path} --resume goes on", err=True)
        raise
    for tested in summary.tests[1:]:
        typer.echo(tested)
    typer.echo(f"run folder: {folder.path}")
    typer.echo(summary.tests[0])


def new_folder(dataset: str) -> Path:
    """runs/<time>-<dataset> in the working directory, counted on where that is taken."""
    path = Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-{dataset}"
    names = (path.with_name(path.name + (f"-{i}" if i else "")) for i in itertools.count())
    return next(name for name in names if not name.exists())
