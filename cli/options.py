"""Options that several commands share, and what was given of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from leakysm_cli.help import RARE

from leakysm import choices
from leakysm.choices import (
    DATASET_DEFAULTS,
    SETTINGS,
    BackendName,
    DatasetName,
    NormName,
    OptimizerName,
    ProductsName,
    SplitName,
)
from leakysm.errors import UserError, suggestion

# Sections of a help text, beside RARE. Everyday options name none: they stand first, under "Options".
DISTANCE, EPISODES, TEST, NET = "Distance", "Episodes", "Test", "Net and optimizer"
MACHINE = "Machine"
BESIDE_BASELINE = ("distance", "set", "learn_scale")  # options that stand for a --setting beside squared-euclidean


def _setting(key: str, panel: str | None = None, default: str = "") -> Any:
    """The option that gives the setting `key`: its name, help and default as leakysm/choices.py states them.

    default: another default in words, where a command has its own.
    """
    name = "--" + key.replace("_", "-")
    return typer.Option(name, help=SETTINGS[key].help, show_default=default or _default(key), rich_help_panel=panel)


def _default(key: str) -> str | bool:
    """The default of a setting in words; False where there is nothing to say."""
    setting = SETTINGS[key]
    if setting.shown:
        return setting.shown
    if any(key in defaults for defaults in DATASET_DEFAULTS.values()):
        return _by_data_set(key)
    return False if setting.default is None else str(setting.default)


def _by_data_set(key: str) -> str:
    """A default that depends on the data set: `30 for miniimagenet, caltech101; else 20`."""
    general = SETTINGS[key].default
    names: dict[Any, list[str]] = {}
    for dataset, defaults in DATASET_DEFAULTS.items():
        if key in defaults:
            names.setdefault(defaults[key], []).append(dataset)
    parts = [f"{value} for {', '.join(sets)}" for value, sets in names.items()]
    return "; ".join(parts if general is None else [*parts, f"else {general}"])


Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as leakysm train wrote it.")]
Dataset = Annotated[DatasetName | None, _setting("dataset")]
Data = Annotated[Path | None, _setting("data")]
DataOfRun = Annotated[Path | None, _setting("data", default="the run's")]
Split = Annotated[SplitName | None, _setting("split", RARE)]
Seed = Annotated[int | None, _setting("seed")]
Way = Annotated[int | None, _setting("way", EPISODES)]
Shot = Annotated[int | None, _setting("shot", EPISODES)]
Query = Annotated[int | None, _setting("query", EPISODES)]
Episodes = Annotated[int | None, _setting("episodes")]
Distance = Annotated[str | None, _setting("distance")]
Set = Annotated[list[str] | None, _setting("set", DISTANCE)]
DistanceBesideBaseline = Annotated[
    str | None,
    typer.Option(
        "--distance",
        help="Instead of --setting: compare this distance with squared-euclidean; a leaky one with pure scaling, too. "
        "FILE.py:CLASS is your own.",
        rich_help_panel=DISTANCE,
    ),
]
SetOfDistance = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="With --distance: its parameter, NAME=VALUE; may be repeated.", rich_help_panel=DISTANCE
    ),
]
LearnScale = Annotated[bool | None, _setting("learn_scale", DISTANCE)]
LearnScaleOfDistance = Annotated[
    bool | None,
    typer.Option(
        "--learn-scale", help="With --distance: multiply it by a scale that is trained.", rich_help_panel=DISTANCE
    ),
]
Threshold = Annotated[float | None, _setting("threshold", DISTANCE)]
Slope = Annotated[float | None, _setting("slope", DISTANCE)]
Per = Annotated[choices.Per | None, _setting("per", DISTANCE)]
Channels = Annotated[int | None, _setting("channels", NET)]
Blocks = Annotated[int | None, _setting("blocks", NET)]
Optimizer = Annotated[OptimizerName | None, _setting("optimizer", NET)]
LearningRate = Annotated[float | None, _setting("learning_rate", NET)]
HalveEvery = Annotated[int | None, _setting("halve_every", NET)]
CheckpointEvery = Annotated[int | None, _setting("checkpoint_every", RARE)]
TestWay = Annotated[list[int] | None, _setting("test_way", TEST)]
TestShot = Annotated[int | None, _setting("test_shot", TEST)]
TestQuery = Annotated[int | None, _setting("test_query", TEST)]
TestEpisodes = Annotated[int | None, _setting("test_episodes", TEST)]
Norm = Annotated[NormName | None, _setting("norm", RARE)]
NormOfRun = Annotated[NormName | None, _setting("norm", RARE, default="the run's")]
Backend = Annotated[BackendName | None, _setting("backend", RARE)]
Device = Annotated[str | None, _setting("device", MACHINE)]
Threads = Annotated[int | None, _setting("threads", MACHINE)]
Products = Annotated[ProductsName | None, _setting("products", RARE)]

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help="TOML file of settings. Options on the command line override it.", show_default=False
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder of the run.", show_default="runs/<time>-<dataset>"),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the unfinished run in --out, or begin one if there is none. Without --out: the newest in runs "
        "with these settings.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the settings as TOML and an estimate of the time, and do nothing else."),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Run the code that the run's folder holds, formula.py. Read it first.",
        rich_help_panel=RARE,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]


def require_one_of(name: str, values: Collection[str], known: Collection[str]) -> None:
    """UserError for the first of the values that is none of the known ones."""
    for value in values:
        if value not in known:
            raise UserError(f"{name} is {value!r}; {suggestion(value, known)}")


def refuse(why: str, **options: Any) -> None:
    """UserError `--name why` for the first of these options that was given. Not given: None, or an empty list."""
    if unwanted := [name for name, value in options.items() if value not in (None, [])]:
        raise UserError(f"--{unwanted[0].replace('_', '-')} {why}")


def given(options: Mapping[str, Any], without: Collection[str] = ()) -> dict[str, Any]:
    """The settings of a run among a command's options, by name: those that were given."""
    settings = {name: options[name] for name in SETTINGS if name not in without and options.get(name) is not None}
    settings |= {"data": str(settings["data"])} if "data" in settings else {}
    return settings | ({"set": parameters(settings["set"])} if settings.get("set") else {})


def compared(
    settings: list[str] | None, distance: str | None, texts: list[str] | None, learn_scale: bool | None = None
) -> list[str]:
    """The settings to compare as text: those of --setting, or the distance of the other options beside the baseline.

    Without either, the leaky distance at its defaults. UserError if both are given.
    """
    if settings:
        why = "is given beside --setting; write it as --setting DISTANCE[,key=value...]"
        refuse(why, distance=distance, set=texts, learn_scale=learn_scale)
        return settings
    if distance is None:
        refuse("is given without --distance; add it", set=texts, learn_scale=learn_scale)
    from leakysm.experiments.settings import beside_baseline

    scaled = {"learn_scale": True} if learn_scale else {}
    return beside_baseline(distance or "leaky", parameters(texts or []) | scaled)


def parameters(texts: Sequence[str]) -> dict[str, Any]:
    """The parameters of --set NAME=VALUE, by name. UserError for any other text, and for a name given twice."""
    from leakysm.experiments.settings import value_of

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not (equals and name.isidentifier()):
            raise UserError(f"--set is {text!r}: expected NAME=VALUE, e.g. scale=2")
        if name in found:
            raise UserError(f"--set {name} is given twice; leave one out")
        found[name] = value_of(value.strip())
    return found
