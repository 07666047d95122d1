"""`leakysm evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from leakysm_cli import options as o
from leakysm_cli.progress import shown_count

Run = Annotated[Path, typer.Argument(help="Folder of a run, as leakysm train wrote it.")]


def evaluate(
    run: Run,
    way: Annotated[int | None, typer.Option(help="Classes of an episode.", show_default="the run's")] = None,
    shot: Annotated[int | None, typer.Option(help="Support images of a class.", show_default="the run's")] = None,
    query: Annotated[int | None, typer.Option(help="Query images of a class.", show_default="the run's")] = None,
    episodes: Annotated[int | None, typer.Option(help="Test episodes.", show_default="the run's")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the test episodes.", show_default="the run's")] = None,
    norm: o.Norm = None,
    data: o.Data = None,
    backend: o.Backend = None,
    device: o.Device = None,
    threads: o.Threads = None,
    json: o.Json = False,
) -> None:
    """Test a trained net on classes that it has never seen.

    Example: leakysm evaluate runs/20260101-120000-omniglot --way 20 --shot 5 --episodes 1000
    """
    import json as writer
    from dataclasses import asdict

    from leakysm.training import evaluate_run

    settings = {"test_shot": shot, "test_query": query, "test_episodes": episodes, "seed": seed, "norm": norm}
    settings |= {"test_way": None if way is None else (way,), "data": None if data is None else str(data.absolute())}
    with shown_count("testing") as report:
        tested = evaluate_run(run, settings, device=device, name=backend, threads=threads, report=report)
    typer.echo(writer.dumps(asdict(tested)) if json else tested)
