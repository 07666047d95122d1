"""`leakysm evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from leakysm_cli import options as o
from leakysm_cli.progress import shown_run

if TYPE_CHECKING:
    from leakysm.runs import TestResult


def evaluate(
    run: o.Run,
    way: Annotated[int | None, typer.Option(help="Number of classes in an episode.", show_default="the run's")] = None,
    shot: Annotated[
        int | None, typer.Option(help="Number of support images of each class.", show_default="the run's")
    ] = None,
    query: Annotated[
        int | None, typer.Option(help="Number of query images of each class.", show_default="the run's")
    ] = None,
    episodes: Annotated[int | None, typer.Option(help="Number of test episodes.", show_default="the run's")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed for the test episodes.", show_default="the run's")] = None,
    norm: o.NormOfRun = None,
    data: o.DataOfRun = None,
    backend: o.Backend = None,
    device: o.Device = None,
    threads: o.Threads = None,
    protocol: Annotated[
        Literal["episodes", "within-alphabet"],
        typer.Option(
            help="episodes: random ones; within-alphabet: the 20 tasks of Omniglot's all_runs.zip, named by --data."
        ),
    ] = "episodes",
    keep: Annotated[
        bool, typer.Option("--keep", help="Add this test to the finished run, so that leakysm compare finds it.")
    ] = False,
    trust: o.Trust = False,
    json: o.Json = False,
) -> None:
    """Test a trained net on classes that it did not see in training.

    Example: leakysm evaluate runs/20260101-120000-omniglot --way 20 --shot 5 --episodes 1000
    """
    from leakysm_cli.output import print_json, tell_unfinished

    _require_form(way=way, shot=shot, query=query, episodes=episodes)
    settings: dict[str, Any] = {
        "test_shot": shot,
        "test_query": query,
        "test_episodes": episodes,
        "seed": seed,
        "norm": norm,
    }
    settings |= {"test_way": None if way is None else (way,), "data": None if data is None else str(data.absolute())}
    machine = {"device": device, "backend": backend, "threads": threads, "trust": trust}
    test = _within_alphabet if protocol == "within-alphabet" else _episodes
    result = test(run, settings, machine, keep)
    if json:
        print_json(result.to_json())
        return
    tell_unfinished(
        run,
        "tested",
        checkpoint=result.checkpoint,
        checkpoint_episode=result.checkpoint_episode,
        finished=result.finished,
    )
    typer.echo(result)


def _require_form(**form: int | None) -> None:
    from leakysm.choices import SETTINGS
    from leakysm.errors import UserError

    for name, value in form.items():
        if value is not None and value < (least := SETTINGS[f"test_{name}"].limits["ge"]):
            raise UserError(f"--{name} is {value}: give {least} or more")


def _episodes(run: Path, settings: dict[str, Any], machine: dict[str, Any], keep: bool) -> TestResult:
    from leakysm.runs import evaluate_run

    with shown_run() as report:
        return evaluate_run(run, settings, **machine, report=report, keep=keep)


def _within_alphabet(run: Path, settings: dict[str, Any], machine: dict[str, Any], keep: bool) -> TestResult:
    from leakysm.errors import UserError
    from leakysm.runs import evaluate_within_alphabet

    data, norm = settings.pop("data"), settings.pop("norm")
    for name, value in {**settings, "keep": keep or None}.items():
        if value is not None:
            option = "--" + name.removeprefix("test_")
            raise UserError(f"{option} is given, but the within-alphabet protocol fixes its tasks; leave it out")
    with shown_run() as report:
        return evaluate_within_alphabet(run, data=data, norm=norm, **machine, report=report)
