"""`leakysm gradients`: the early-sparsity experiment, and a threshold and slope for the user's own data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from leakysm_cli import options as o
from leakysm_cli.folders import new_folder, refuse_what_is_there
from leakysm_cli.output import line_width, print_json, print_lines
from leakysm_cli.own_distance import refuse_wrong
from leakysm_cli.stopping import same_command

if TYPE_CHECKING:
    from leakysm.backends import Engine
    from leakysm.experiments.gradients.measure import Traces
    from leakysm.experiments.gradients.suggest import EmbeddedEpisode
    from leakysm.ops.metrics import Metric

SUGGESTION = "Suggestion"
HOW_GOOD = """How good is the rule? On Omniglot and Caltech 101, it suggests the best slope that was tried. On strokes
it does not: 0.1 is 1.1 percentage points better in 20-way tests. Figures: docs/experiments.md"""
STEPS, SEEDS = 50, 3
EPISODES = 3  # number of episodes that a suggestion looks at, the first ones
FIGURE_NAMES = {
    "vanished_distance_gradients": "gradient entries below 1e-3",
    "vanished_query_gradients": "queries with a faint gradient",
    "mean_query_gradient": "mean gradient norm of a query",
    "mean_distance": "mean distance",
    "mean_max_probability": "mean largest probability",
}


def gradients(
    setting: Annotated[
        list[str] | None,
        typer.Option(
            help="A distance to look at, DISTANCE[,key=value...]; give it several times.",
            show_default="squared-euclidean, leaky, and pure scaling: leaky with threshold 0",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Number of training steps of each run.", show_default=str(STEPS))
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds, from --seed on.", show_default=str(SEEDS))
    ] = None,
    dataset: o.Dataset = None,
    data: o.Data = None,
    seed: o.Seed = None,
    histogram: Annotated[
        str | None, typer.Option(help="Steps whose distances and gradients are drawn as histograms, such as 0,10,49.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the tables and plots.", show_default="runs/<time>-gradients"),
    ] = None,
    dry_run: o.DryRun = False,
    json: o.Json = False,
    suggest: Annotated[
        bool,
        typer.Option(
            "--suggest", help="Only suggest a threshold and a slope for these data.", rich_help_panel=SUGGESTION
        ),
    ] = False,
    target: Annotated[
        float | None,
        typer.Option(
            help="With --suggest: let at most this fraction (0 to 1) of gradient entries vanish.",
            show_default="none; then distances grow no faster than unsquared ones",
            rich_help_panel=SUGGESTION,
        ),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="With --suggest: embeddings in an .npy or .h5 file, instead of a data set.", rich_help_panel=SUGGESTION
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="With --embeddings of shape (n, D): .npy file of their classes, of shape (n,).",
            rich_help_panel=SUGGESTION,
        ),
    ] = None,
    distance: o.DistanceBesideBaseline = None,
    set: o.SetOfDistance = None,
    learn_scale: o.LearnScaleOfDistance = None,
    way: o.Way = None,
    shot: o.Shot = None,
    query: o.Query = None,
    channels: o.Channels = None,
    blocks: o.Blocks = None,
    optimizer: o.Optimizer = None,
    learning_rate: o.LearningRate = None,
    device: o.Device = None,
    threads: o.Threads = None,
    split: o.Split = None,
    backend: o.Backend = None,
) -> None:
    """Show how many gradients vanish in the first steps of training, for each distance.

    Every distance starts at the same weights and sees the same episodes. With --suggest the command suggests a
    threshold and a slope for your own data, or for your own net's embeddings.

    Example: leakysm gradients --dataset omniglot --data FOLDER --histogram 0,49

    Example: leakysm gradients --suggest --embeddings mine.npy --labels classes.npy --way 10
    """
    given = o.given(locals(), without=o.BESIDE_BASELINE)
    given.setdefault("seed", 0)
    if suggest:
        unused = {
            "setting": setting,
            "distance": distance,
            "set": set,
            "learn_scale": learn_scale,
            "histogram": histogram,
            "steps": steps,
            "out": out,
            "dry_run": dry_run or None,  # None is "not given"
        }
        o.refuse("cannot be used with --suggest; leave one of the two out", **unused)
        if embeddings:
            o.refuse("cannot be used with --embeddings; leave one of the two out", seeds=seeds)
        _suggest(given, target, embeddings, labels, seeds or SEEDS, json)
    else:
        o.refuse(
            "is only for --suggest; add --suggest, or leave it out", embeddings=embeddings, labels=labels, target=target
        )
        steps = steps or STEPS
        watch = _numbers(histogram, steps)
        _gradients(
            given, o.compared(setting, distance, set, learn_scale), steps, seeds or SEEDS, watch, out, dry_run, json
        )


def _gradients(
    given: dict[str, Any],
    texts: list[str],
    steps: int,
    seeds: int,
    watch: list[int],
    out: Path | None,
    dry: bool,
    as_json: bool,
) -> None:
    from leakysm_cli import before
    from leakysm_cli.progress import shown_count

    from leakysm.experiments import settings
    from leakysm.experiments.gradients.claims import judge_all, text
    from leakysm.experiments.gradients.files import summary, write
    from leakysm.experiments.gradients.measure import compare_early_steps
    from leakysm.runs import Loader
    from leakysm.runs.device import engine_of

    if out:
        refuse_what_is_there(out)
    parsed = settings.parse_settings(texts)
    with shown_count("reading images") as report:
        configs, data = settings.resolve_each(given, parsed, Loader(report))
    refuse_wrong(configs.values())
    first = next(iter(configs.values()))
    numbers = range(first.seed, first.seed + seeds)
    if dry:
        typer.echo(before.dry_gradients(configs, numbers, steps, data), nl=False)
        return
    try:
        with shown_count("training steps") as report:
            traces = compare_early_steps(configs, numbers, data, engine_of(first), steps, watch=watch, report=report)
    except KeyboardInterrupt:
        typer.echo(f"Stopped; these short runs are not kept. Start again: {same_command()}", err=True)
        raise
    title = f"{data.name}, {first.way}-way {first.shot}-shot, {first.query} queries a class"
    verdicts = judge_all(traces)
    result = summary(configs, traces, verdicts)
    out = out or new_folder("gradients")
    files = write(out, result, title, traces, watch, verdicts)
    if as_json:
        print_json(result, indent=2)
    else:
        _print_traces(title, traces, text(verdicts, traces.labels[0], line_width()), out, files)


def _print_traces(title: str, traces: Traces, claims: list[str], out: Path, files: list[str]) -> None:
    from shlex import quote

    last = traces.figures.shape[2] - 1
    print(f"{title}; {'seed' if len(traces.seeds) == 1 else 'mean over seeds'} {', '.join(map(str, traces.seeds))}")
    for step in sorted({0, last}):
        means = {name: traces.figure(name)[:, :, step].mean(axis=1) for name in FIGURE_NAMES}
        print_lines(["", *_figures(f"step {step}", traces.labels, means)])
    print_lines(claims)
    vanished = traces.figure("vanished_distance_gradients")[:, :, 0].mean(axis=1)
    parts = (f"{label} {100 * mean:.1f} %" for label, mean in zip(traces.labels, vanished, strict=True))
    n = len(traces.seeds)
    print(f"\n{out}")
    print(f"files: {', '.join(files)}")
    print(f"next: leakysm report {quote(str(out))}")
    print(f"gradient entries below 1e-3 at step 0: {', '.join(parts)} ({n} seed{'s' * (n > 1)})")


def _suggest(
    given: dict[str, Any], target: float | None, embeddings: Path | None, labels: Path | None, seeds: int, as_json: bool
) -> None:
    from leakysm.errors import UserError
    from leakysm.experiments.gradients.suggest import suggest

    if target is not None and not 0 < target < 1:
        raise UserError(f"target is {target:g}: expected a fraction between 0 and 1, such as 0.1")
    if labels and not embeddings:
        raise UserError("--labels is only for --embeddings; give both, or leave it out")
    engine, embedded = _from_file(given, embeddings, labels) if embeddings else _from_data(given, seeds)
    suggestion = suggest(engine, embedded, target)
    # The net of the embeddings is not known here, so nothing can train it but the user's own code.
    command = f"lk.{suggestion.metric!r}" if embeddings else _command(given, suggestion.metric)
    if as_json:
        print_json(suggestion.to_json() | {"command": command}, indent=2)
        return
    values = {"squared-euclidean": suggestion.before, str(suggestion.metric): suggestion.after}
    one = embedded[0]
    print(f"{len(embedded)} first episodes, {one.way}-way {one.shot}-shot, embeddings of {one.z.shape[1]} values")
    figures = dict(zip(FIGURE_NAMES, zip(*values.values(), strict=True), strict=True))
    print_lines(_figures("", list(values), figures))
    if len(values) == 1:
        why = "distances grow no faster than unsquared ones"
        if target is not None:
            why = f"at most {100 * target:g} % of the gradient entries vanish without one"
        print(f"\nno restriction is needed: {why}")
    if target is None:
        print(f"\n{HOW_GOOD}")
    if embeddings:
        print("\nthe distance in Python, after import leakysm as lk:")
    print(f"\n{command}")


def _from_file(given: dict[str, Any], embeddings: Path, labels: Path | None) -> tuple[Engine, list[EmbeddedEpisode]]:
    from leakysm.experiments.gradients.embeddings import episodes_of, read_embeddings
    from leakysm.runs.device import engine_for
    from leakysm.runs.settings import checked

    of_a_run = ("dataset", "data", "split", "channels", "blocks", "optimizer", "learning_rate")
    unused = {key: given.get(key) for key in of_a_run}
    o.refuse("cannot be used with --embeddings; leave one of the two out", **unused)
    checked(given)
    z, starts = read_embeddings(embeddings, labels)
    form = {"way": given.get("way"), "shot": given.get("shot", 1), "query": given.get("query")}
    engine = engine_for(given.get("device"), given.get("backend"), given.get("threads"))
    return engine, list(episodes_of(z, starts, **form, seed=given["seed"], episodes=EPISODES))


def _from_data(given: dict[str, Any], seeds: int) -> tuple[Engine, list[EmbeddedEpisode]]:
    from dataclasses import replace

    from leakysm_cli.progress import shown_count

    from leakysm.experiments.gradients.suggest import embedded_by_new_net
    from leakysm.runs import Loader, resolve
    from leakysm.runs.device import engine_of
    from leakysm.training import SplitImages

    with shown_count("reading images") as report:
        config, data = resolve(given, load=Loader(report))
    images = SplitImages(engine_of(config), data, "train")
    episodes: list[EmbeddedEpisode] = []
    with shown_count("embedding by untrained nets") as report:
        for i in range(seeds):
            report(i, seeds)
            episodes += embedded_by_new_net(replace(config, seed=config.seed + i), images, EPISODES)
    return images.engine, episodes


def _command(given: dict[str, Any], metric: Metric) -> str:
    """`leakysm train` with what was given and the metric."""
    from shlex import join

    options = {**given, "distance": metric.name, **metric.parameters}
    return join(["leakysm", "train", *(f"--{key.replace('_', '-')}={value}" for key, value in options.items())])


def _figures(title: str, labels: Sequence[str], figures: Mapping[str, Iterable[float]]) -> list[str]:
    """A table of figures: a row for each name of FIGURE_NAMES, a column for each label."""
    from leakysm.tables import columns

    rows = [[words, *(_shown(name, value) for value in figures[name])] for name, words in FIGURE_NAMES.items()]
    return columns((title, *labels), rows, rule=False, right=range(1, 1 + len(labels)), width=line_width())


def _shown(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if name.startswith("vanished") else f"{value:.4g}"


def _numbers(text: str | None, steps: int) -> list[int]:
    """The steps of --histogram. UserError unless they are steps of the run."""
    from leakysm.errors import UserError

    numbers = [int(part) if part.strip().isdecimal() else -1 for part in (text or "").split(",")]
    if text is None:
        return []
    if any(not 0 <= number < steps for number in numbers):
        raise UserError(f"histogram is {text!r}: expected steps from 0 to {steps - 1}, such as 0,{steps - 1}")
    return sorted(set(numbers))
