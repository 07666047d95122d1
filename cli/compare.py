"""`leakysm compare`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from leakysm_cli import options as o
from leakysm_cli.folders import new_folder, refuse_another_kind, refuse_what_is_there
from leakysm_cli.output import print_json
from leakysm_cli.own_distance import refuse_wrong
from leakysm_cli.stopping import same_command, stop_after_step

if TYPE_CHECKING:
    from leakysm.experiments.finished import FinishedRun
    from leakysm.runs import Progress

SEEDS = 3
FILES = ("comparison.json", "comparison.md", "curves.png", "report.html")
COMPARABLE: tuple[str, ...] = ("distance", "threshold", "slope", "per", "set", "learn_scale")
COMPARABLE += ("optimizer", "learning_rate", "halve_every", "norm")


def compare(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="RUN", help="Finished runs to compare.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            help="A setting to compare, DISTANCE[,key=value...]; give it several times.",
            show_default="squared-euclidean, leaky, and pure scaling: leaky with threshold 0",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of training seeds, from --seed on.", show_default="3")
    ] = None,
    dataset: o.Dataset = None,
    data: o.Data = None,
    episodes: o.Episodes = None,
    seed: o.Seed = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the runs, the tables and the plot.", show_default="runs/<time>-compare"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the comparison in --out; finished runs are kept.")
    ] = False,
    dry_run: o.DryRun = False,
    json: o.Json = False,
    distance: o.DistanceBesideBaseline = None,
    set: o.SetOfDistance = None,
    learn_scale: o.LearnScaleOfDistance = None,
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
) -> None:
    """Train and test several settings on the same seeds, and report their differences with intervals.

    With one seed, all settings start at the same weights, see the same episodes and are tested on the same episodes.
    The interval of a difference is over the seeds, and needs at least 3 of them. If you name finished runs, only those
    are compared, and nothing is trained.

    Example: leakysm compare --setting squared-euclidean --setting leaky,threshold=1,slope=0.1 --seeds 5

    Example: leakysm compare runs/20260101-120000-omniglot runs/20260101-130000-omniglot
    """
    given = o.given(locals(), without=o.BESIDE_BASELINE)
    if runs:
        why = "is for training, but finished runs are named; leave one of the two out"
        ours = {"setting": setting, "distance": distance, "set": set, "learn_scale": learn_scale, "seeds": seeds}
        o.refuse(why, **given, **ours, resume=resume or None, dry_run=dry_run or None)
        if out:
            refuse_what_is_there(out)
        _report(_read(runs), out, json)
    else:
        _train(given, o.compared(setting, distance, set, learn_scale), seeds or SEEDS, out, resume, dry_run, json)


def _train(
    given: dict[str, Any],
    texts: list[str],
    seeds: int,
    out: Path | None,
    resume: bool,
    dry: bool,
    as_json: bool,
) -> None:
    from leakysm_cli import before
    from leakysm_cli.progress import shown_count

    from leakysm.errors import UserError
    from leakysm.experiments import settings
    from leakysm.experiments.compare.train_all import train_all
    from leakysm.runs import Loader

    if resume and out is None:
        raise UserError("--resume is given without --out; name the folder of the comparison to continue")
    if out and not resume:
        refuse_what_is_there(out, "choose another --out, or continue with --resume")
    if out:
        refuse_another_kind(out, FILES)
    parsed = settings.parse_settings(texts, COMPARABLE)
    if len(parsed) < 2:
        raise UserError(f"one setting is given, {next(iter(parsed))}; give --setting twice or more")
    with shown_count("reading images") as report:
        configs, data = settings.resolve_each(given, parsed, Loader(report))
    refuse_wrong(configs.values())
    first = next(iter(configs.values()))
    numbers = range(first.seed, first.seed + seeds)
    if dry:
        typer.echo(before.dry_comparison(configs, numbers, data), nl=False)
        return
    told = before.comparison_lines(configs, numbers, data)
    out = out or new_folder("compare")
    typer.echo("\n".join([f"folder: {out}", *told]), err=True)
    try:
        with stop_after_step() as stop:
            runs = train_all(configs, numbers, data, out, _shown, stop)
    except KeyboardInterrupt:
        typer.echo(f"Stopped. Continue: {same_command(out=str(out), resume='')}", err=True)
        raise
    _report(runs, out, as_json)


@contextmanager
def _shown(title: str) -> Iterator[Callable[[Progress], None]]:
    from leakysm_cli.progress import shown_run

    typer.echo(title, err=True)
    with shown_run() as report:
        yield report


def _read(paths: list[Path]) -> list[FinishedRun]:
    from leakysm.experiments.finished import read_run

    return [read_run(path) for path in paths]


def _report(runs: list[FinishedRun], out: Path | None, as_json: bool) -> None:
    """Print the comparison; with `out`, leave it there too."""
    from shlex import quote

    from leakysm.experiments.compare.comparison import compare, to_json
    from leakysm.experiments.compare.report import differences, learning_curves, markdown, without_metrics
    from leakysm.experiments.outputs import write_files
    from leakysm.strict_json import json_bytes

    comparison = compare(runs)
    content, table = to_json(comparison), markdown(comparison)
    if out:
        files = {"comparison.json": json_bytes(content), "comparison.md": table.encode()}
        if lacking := without_metrics(comparison):
            typer.echo(f"leakysm: no curves.png: {lacking[0]} holds no metrics.csv", err=True)
        else:
            files["curves.png"] = learning_curves(comparison)
        write_files(out, files)
    if as_json:
        print_json(content, indent=2)
        return
    print(table)
    if out:
        print(out)
        print(f"files: {', '.join(files)}")
        print(f"next: leakysm report {quote(str(out))}")
    print(differences(comparison))
