"""`leakysm train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from leakysm_cli import options as o
from leakysm_cli.folders import new_folder, remove_empty
from leakysm_cli.own_distance import refuse_wrong
from leakysm_cli.progress import shown_count, shown_run
from leakysm_cli.stopping import stop_after_step

if TYPE_CHECKING:
    from leakysm.runs import RunFolder, Summary, TrainConfig


def train(
    dataset: o.Dataset = None,
    data: o.Data = None,
    distance: o.Distance = None,
    episodes: o.Episodes = None,
    seed: o.Seed = None,
    out: o.Out = None,
    config: o.Config = None,
    resume: o.Resume = False,
    dry_run: o.DryRun = False,
    threshold: o.Threshold = None,
    slope: o.Slope = None,
    per: o.Per = None,
    set: o.Set = None,
    learn_scale: o.LearnScale = None,
    way: o.Way = None,
    shot: o.Shot = None,
    query: o.Query = None,
    test_way: o.TestWay = None,
    test_shot: o.TestShot = None,
    test_query: o.TestQuery = None,
    test_episodes: o.TestEpisodes = None,
    channels: o.Channels = None,
    blocks: o.Blocks = None,
    optimizer: o.Optimizer = None,
    learning_rate: o.LearningRate = None,
    halve_every: o.HalveEvery = None,
    device: o.Device = None,
    threads: o.Threads = None,
    split: o.Split = None,
    norm: o.Norm = None,
    checkpoint_every: o.CheckpointEvery = None,
    backend: o.Backend = None,
    products: o.Products = None,
    trust: o.Trust = False,
) -> None:
    """Train a few-shot classifier and test it. Without options it trains on the built-in strokes for about a minute.

    On Omniglot, the default of 10000 episodes takes an hour or more without a GPU; --episodes 300 takes minutes.

    Example: leakysm train --dataset omniglot --data FOLDER --episodes 300

    Example: leakysm train --dataset omniglot --data FOLDER --distance leaky --way 30 --episodes 1500
    """
    _train(o.given(locals()), config, out, resume, dry_run, trust)


def _train(given: dict[str, Any], file: Path | None, out: Path | None, resume: bool, dry: bool, trust: bool) -> None:
    from leakysm_cli import before

    from leakysm.runs import Loader, RunFolder, resolve, to_resume, train, under_options
    from leakysm.runs.settings import read_settings, settings_of_a_file, toml_lines

    if file:
        given = under_options(read_settings(file), given)
    folder = RunFolder(out) if out else to_resume(given, Path("runs").glob("*")) if resume else None
    if folder:
        folder.refuse_a_run(resume=resume)
        if resume and not folder.config.exists():  # the run was killed at once, or the name is mistyped
            typer.echo(f"leakysm: {folder.path} holds no run to continue; a new one begins", err=True)
    with shown_count("reading images") as report:
        config, data = resolve(given, load=Loader(report), folder=folder, trust=trust)
    refuse_wrong([config])
    done = folder.reached() if folder and folder.config.exists() else 0
    time = before.time_lines(config, data, done) if dry or config.episodes - done >= before.FEWEST else []
    if dry:
        takes = "save this as FILE to train with it: leakysm train --config FILE"
        typer.echo(before.dry_run(toml_lines(settings_of_a_file(config)), [*time, takes]), nl=False)
        return
    folder = folder or RunFolder(new_folder(config.dataset))
    goes_on = resume and folder.config.exists()
    settings = before.settings_lines(config, given=None if goes_on else given)
    typer.echo("\n".join([f"run folder: {folder.path}", *settings, *time]))
    if goes_on:
        typer.echo(f"continuing after episode {done} of {config.episodes}")
    try:
        with stop_after_step() as stop, shown_run() as report_run:
            summary = train(config, data=data, out=folder.path, resume=resume, report=report_run, stop=stop)
    except KeyboardInterrupt:
        typer.echo(_stopped(folder), err=True)
        raise
    finally:
        if not out:
            remove_empty(folder.path)
    typer.echo("\n".join(["", *_summary(summary, folder), f"run folder: {folder.path}", str(summary.tests[0])]))


def _summary(summary: Summary, folder: RunFolder) -> list[str]:
    """The run's results: its tests in a table, its files, and the command to try next."""
    from shlex import quote

    from leakysm.tables import columns

    config, path, trust = summary.config, quote(str(folder.path)), _trust(folder)
    data = f" --data {quote(str(config.data))}" if config.data else ""
    rows = [
        [t.name, f"{t.accuracy:.2f} %", f"+- {t.interval:.2f} %", f"{100 / t.way:.2f} %", str(t.episodes)]
        for t in summary.tests
    ]
    header = ("test", "accuracy", "95 % interval", "chance", "episodes")
    validated = summary.validation_accuracy
    best = f", validation accuracy {validated:.2f} %" if validated is not None else ""
    names = [path.name for path in (folder.summary, folder.curves, folder.metrics, folder.best, folder.config)]
    scale = "" if summary.scale is None else f", learned scale {summary.scale:.4g}"
    return [
        *columns(header, rows, right=range(1, 5)),
        f"tested: the net after {summary.checkpoint_episode} of {config.episodes} episodes{best}{scale}",
        f"files: {', '.join(names)} and others",
        f"next: leakysm report {path}{trust}",
        f"next: leakysm gradients --dataset {config.dataset}{data}{_distance(folder, config)}"
        "  # what the distance does to gradients",
        f"next: leakysm predict {path}{trust} --support FOLDER IMAGE...",
    ]


def _distance(folder: RunFolder, config: TrainConfig) -> str:
    """The options of `gradients` for the run's distance: none for those that it compares by default."""
    from shlex import quote

    from leakysm.choices import LEAKY
    from leakysm.runs.settings import metric_parameters

    given = metric_parameters(config.settings())
    by_default = config.distance == "squared-euclidean" or (config.distance == "leaky" and {**LEAKY, **given} == LEAKY)
    if by_default and not config.learn_scale:
        return ""
    name = config.distance
    if folder.formula.exists():
        name = f"{folder.formula}:{name.rpartition(':')[2]}"
    parameters = "".join(f" --set {quote(f'{key}={value}')}" for key, value in given.items())
    return f" --distance {quote(name)}{parameters}{' --learn-scale' if config.learn_scale else ''}"


def _trust(folder: RunFolder) -> str:
    """The option without which no command runs the code of the run's own formula; nothing if the run has none."""
    return " --trust" * folder.formula.exists()


def _stopped(folder: RunFolder) -> str:
    """At which episode the run stopped, and how to continue it."""
    from leakysm.errors import UserError

    try:
        episode = folder.reached()
    except UserError:
        episode = 0
    if not folder.config.exists():
        return "Stopped before training began. Give the same command again"
    from shlex import join

    command = join(["leakysm", "train", "--out", str(folder.path), "--resume"])
    return f"Stopped at episode {episode}. Continue: {command}{_trust(folder)}"
