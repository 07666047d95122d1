"""`leakysm bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from leakysm_cli import options as o

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BENCHMARKS = ("train-step", "evaluation", "distances", "classes", "loading", "startup")
ROUNDS = 9  # on the CPU
WAITS = "waits"  # whole commands: only where it is named
PEERS = ("torch", "scipy", "sklearn")


def bench(
    which: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BENCHMARK",
            help=f"What to measure: {', '.join(BENCHMARKS)}; or {WAITS}, how long whole commands take.",
            show_default=f"all but {WAITS}",
        ),
    ] = None,
    vs: Annotated[
        list[str] | None,
        typer.Option(
            help="Library to compare with; may be given several times.", show_default="all that are installed"
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of measurements of each library, in turns.",
            show_default=f"{ROUNDS}; on a GPU 30",
        ),
    ] = None,
    memory: Annotated[bool, typer.Option(help="Also measure the peak memory of a training step.")] = True,
    threads: o.Threads = None,
    device: Annotated[
        str,
        typer.Option(
            help="Device: cpu; or cuda or cuda:N, where only the training step is measured.", rich_help_panel=o.MACHINE
        ),
    ] = "cpu",
    products: o.Products = None,
    json: o.Json = False,
) -> None:
    """Compare leakysm's speed with the installed libraries. A ratio above 1: leakysm is faster.

    A floor is the time of one part of the work alone, such as the matrix products of a training step.

    Example: leakysm bench train-step --vs torch
    """
    from leakysm_cli.progress import shown_status

    from leakysm.runs.settings import checked, in_full

    o.require_one_of("benchmark", which or (), (*BENCHMARKS, WAITS))
    o.require_one_of("--vs", vs or (), PEERS)
    if device == "cpu":
        o.refuse("works only on a GPU; add --device cuda, or leave it out", products=products)
    else:
        o.refuse("is for measurements on the CPU; leave it out", vs=vs, threads=threads)
    checked({"threads": threads})
    with shown_status() as progress:
        if device == "cpu":
            found = _on_cpu(which or BENCHMARKS, vs, threads, rounds or ROUNDS, progress)
        else:
            found = _on_gpu(which, device, in_full("products", products), rounds, progress)
        peaks = _memory(found, progress) if memory and device == "cpu" else []
    _tell(found, peaks, json)


def _on_cpu(
    which: Sequence[str],
    vs: Sequence[str] | None,
    threads: int | None,
    rounds: int,
    progress: Callable[[str], None],
) -> dict[str, list[dict[str, Any]]]:
    import importlib.util

    from leakysm_benchmarks import classes, distance, evaluation, loading, startup, train_step, waits

    peers = vs or [peer for peer in PEERS if importlib.util.find_spec(peer)]
    shared: dict[str, Any] = {"rounds": rounds, "progress": progress}
    runs: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "train-step": lambda: train_step.compare(threads=threads, vs=peers, **shared),
        "evaluation": lambda: evaluation.compare(threads=threads, vs=peers, **shared),
        "distances": lambda: distance.compare(threads=threads, vs=peers, **shared),
        "classes": lambda: classes.compare(threads=threads, vs=peers, **shared),
        "loading": lambda: loading.compare(**shared),
        WAITS: lambda: waits.compare(**shared),
        "startup": lambda: startup.compare(vs=peers, **shared),
    }
    return {name: runs[name]() for name in which}


def _on_gpu(
    which: Sequence[str] | None,
    device: str,
    products: str,
    rounds: int | None,
    progress: Callable[[str], None],
) -> dict[str, list[dict[str, Any]]]:
    from leakysm.errors import UserError

    if any(name != "train-step" for name in which or ()):
        raise UserError(f"on a GPU only train-step is measured, not {', '.join(which or ())}; leave --device out")
    from leakysm_benchmarks.gpu import compare_training_steps

    found = compare_training_steps(device=device, products=products, rounds=rounds, progress=progress)
    return {"train-step": found}


def _memory(found: dict[str, list[dict[str, Any]]], progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """The peak memory of our training step and of the fastest peer's, if training steps were measured."""
    from leakysm_benchmarks.memory import OURS, peaks

    steps = [c for c in found.get("train-step", ()) if c["kind"] == "peer"]
    if "train-step" not in found:
        return []
    progress("peak memory of a training step")
    fastest = [min(steps, key=lambda c: c["ratio"])["peer"].removeprefix("torch ")] if steps else []
    measured: list[dict[str, Any]] = peaks([OURS, *fastest])
    return measured


def _tell(found: dict[str, list[dict[str, Any]]], peaks: list[dict[str, Any]], json: bool) -> None:
    if json:
        from leakysm_cli.output import print_json

        from leakysm.runs.environment import environment

        comparisons = [{"benchmark": name, **c} for name, cs in found.items() for c in cs]
        print_json({"environment": environment(), "comparisons": comparisons, "memory": peaks})
        return
    from leakysm_benchmarks.report import kernels_line, lines, memory_lines

    typer.echo(kernels_line())
    for name, comparisons in found.items():
        typer.echo("\n".join([name, *lines(comparisons), ""]))
    for line in memory_lines(peaks):
        typer.echo(line)
