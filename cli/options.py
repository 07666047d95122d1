"""Options that several commands share: names, choices and help, each stated once; and what was given of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

DATA, NET, TEST, MACHINE = "Data", "Training", "Test", "Machine"

Dataset = Annotated[
    Literal["strokes", "omniglot", "miniimagenet", "caltech101", "folder"] | None,
    typer.Option("--dataset", help="Data set; strokes is built in.", show_default="strokes", rich_help_panel=DATA),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the published files, or one of them.", rich_help_panel=DATA),
]
Split = Annotated[
    Literal["lake", "vinyals", "vinyals-trainval", "minimal1", "minimal2"] | None,
    typer.Option("--split", help="Omniglot's training and test classes.", show_default="lake", rich_help_panel=DATA),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", help="Of initial weights and episodes.", show_default="0", rich_help_panel=NET),
]
Way = Annotated[int | None, typer.Option("--way", help="Classes of a training episode.", rich_help_panel=NET)]
Shot = Annotated[
    int | None,
    typer.Option("--shot", help="Support images of a class.", show_default="1", rich_help_panel=NET),
]
Query = Annotated[int | None, typer.Option("--query", help="Query images of a class.", rich_help_panel=NET)]
Episodes = Annotated[int | None, typer.Option("--episodes", help="Training episodes.", rich_help_panel=NET)]
Distance = Annotated[
    Literal["squared-euclidean", "leaky", "euclidean", "cosine"] | None,
    typer.Option("--distance", help="Between query and prototype.", show_default="leaky", rich_help_panel=NET),
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", help="Leaky distance: 0 <= t <= inf.", show_default="1, if leaky", rich_help_panel=NET),
]
Slope = Annotated[
    float | None,
    typer.Option("--slope", help="Leaky distance: 0 < s <= 1.", show_default="0.03, if leaky", rich_help_panel=NET),
]
Per = Annotated[
    Literal["pair", "coordinate"] | None,
    typer.Option("--per", help="What the leaky distance restricts.", show_default="pair", rich_help_panel=NET),
]
Norm = Annotated[
    Literal["running", "episode"] | None,
    typer.Option(
        "--norm", help="Batch norm in the test: statistics of training, or of the episode.", rich_help_panel=TEST
    ),
]
Optimizer = Annotated[
    Literal["adam", "sgd"] | None,
    typer.Option("--optimizer", help="SGD has momentum 0.9.", show_default="adam", rich_help_panel=NET),
]
LearningRate = Annotated[
    float | None,
    typer.Option("--learning-rate", help="Of the first step.", show_default="0.001", rich_help_panel=NET),
]
HalveEvery = Annotated[
    int | None,
    typer.Option("--halve-every", help="Episodes between halvings of the rate; 0: never.", rich_help_panel=NET),
]
CheckpointEvery = Annotated[
    int | None,
    typer.Option("--checkpoint-every", help="Episodes between checkpoints and validations.", rich_help_panel=NET),
]
TestWay = Annotated[
    list[int] | None,
    typer.Option(
        "--test-way", help="Classes of a test episode; may be repeated.", show_default="5 and 20", rich_help_panel=TEST
    ),
]
TestShot = Annotated[
    int | None, typer.Option("--test-shot", help="Support images.", show_default="--shot", rich_help_panel=TEST)
]
TestQuery = Annotated[
    int | None, typer.Option("--test-query", help="Query images.", show_default="15", rich_help_panel=TEST)
]
TestEpisodes = Annotated[int | None, typer.Option("--test-episodes", help="Test episodes.", rich_help_panel=TEST)]
Backend = Annotated[
    Literal["reference", "numpy", "cupy"] | None,
    typer.Option("--backend", help="Engine.", show_default="the device's fast one", rich_help_panel=MACHINE),
]
Device = Annotated[
    str | None,
    typer.Option("--device", help="cpu, cuda, cuda:N or auto.", show_default="auto", rich_help_panel=MACHINE),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", help="On the CPU.", show_default="one for each core", rich_help_panel=MACHINE),
]
Tf32 = Annotated[
    bool | None,
    typer.Option(
        "--tf32", help="On a GPU: matrix products may round to TF32.", show_default="off", rich_help_panel=MACHINE
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file of settings; explicit options win.", show_default=False),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder of the run.", show_default="runs/<time>-<dataset>"),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out that was cut off, or the newest in runs.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]


def require_one_of(name: str, found: Collection[str], known: Collection[str]) -> None:
    """UserError that names the known for the first of `found` that is none of them."""
    from leakysm.errors import UserError

    for value in found:
        if value not in known:
            raise UserError(f"{name} is {value!r}; one of {', '.join(known)} is expected: choose one")


def refuse(why: str, **options: Any) -> None:
    """UserError `--name why` for the first of these options that was given. Not given: None, or an empty list."""
    from leakysm.errors import UserError

    if unwanted := [name for name, value in options.items() if value not in (None, [])]:
        raise UserError(f"--{unwanted[0].replace('_', '-')} {why}")


def given(options: Mapping[str, Any], without: Collection[str] = ()) -> dict[str, Any]:
    """The settings of a run among a command's options, by name: those that were given."""
    settings = {name: value for name, value in options.items() if name not in without and value is not None}
    return settings | ({"data": str(settings["data"])} if "data" in settings else {})
