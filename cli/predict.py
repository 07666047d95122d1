"""`leakysm predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from leakysm_cli import options as o

if TYPE_CHECKING:
    from leakysm.predict.predict import Candidate


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as leakysm train wrote it.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Images to classify.")],
    support: Annotated[Path, typer.Option(help="Folder that holds one folder for each class, with a few examples.")],
    top: Annotated[int, typer.Option(min=1, help="Number of classes to list for each image.")] = 3,
    picture: Annotated[
        Path | None, typer.Option(help="PNG file to draw: each image beside examples of its nearest class.")
    ] = None,
    distance: Annotated[
        str | None,
        typer.Option(help="Another distance than the run's, by name or FILE.py:CLASS.", show_default="the run's"),
    ] = None,
    set: o.SetOfDistance = None,
    norm: o.NormOfRun = None,
    backend: o.Backend = None,
    device: o.Device = None,
    threads: o.Threads = None,
    trust: o.Trust = False,
    json: o.Json = False,
) -> None:
    """Classify your own images from a few examples of each class.

    The classes may be new to the net. Images are resized, and made grey or colour, as the training images were. A net
    that was trained on handwriting expects dark strokes on light paper.

    Example: leakysm predict runs/20260101-120000-omniglot --support letters unknown1.png unknown2.png
    """
    from dataclasses import replace

    from leakysm.data.images import read_for_net
    from leakysm.experiments.outputs import write_files
    from leakysm.files import printable, write_new
    from leakysm.predict.picture import picture as drawn
    from leakysm.predict.predict import predict as classify
    from leakysm.predict.predict import read_support
    from leakysm.runs import restore
    from leakysm.runs.device import engine_for
    from leakysm.runs.fill_in import under_distance

    if picture:
        _refuse_to_write_over(picture, images, support)
    restored = restore(run, engine_for(device, backend, threads), trust=trust)
    if distance:
        other = under_distance(restored.config, {"distance": distance, "set": o.parameters(set or [])})
        restored = replace(restored, config=other)
    else:
        o.refuse("goes with --distance; add it", set=set)
    _ = restored.config.metric  # code that is not trusted is reported before the images are read
    inputs = restored.checkpoint.inputs
    classes, queries = read_support(inputs, support), read_for_net(images, inputs)
    ranked = classify(restored, classes, queries, norm or restored.config.norm)
    names = [printable(path) for path in images]
    if picture:
        content = drawn([printable(path.name) for path in images], queries, classes, ranked, ink=inputs.ink)
        write_files(picture.parent, {})
        write_new(picture, content)
    ranked = [[replace(one, name=printable(one.name)) for one in classes] for classes in ranked]
    if json:
        _print_json(names, ranked)
    else:
        _print_table(names, ranked, top)


def _refuse_to_write_over(picture: Path, images: list[Path], support: Path) -> None:
    """UserError unless the picture is a PNG file that replaces no image and is no example."""
    from leakysm.errors import UserError

    if picture.suffix.lower() != ".png":
        raise UserError(f"--picture is {picture}: a PNG file is drawn; give a name that ends in .png")
    if picture.exists() and any(image.exists() and picture.samefile(image) for image in images):
        raise UserError(f"--picture is {picture}, an image to classify; give the drawing another name")
    if picture.resolve().is_relative_to(support.resolve()):
        raise UserError(f"--picture is {picture}, among the examples in {support}; choose another folder")


def _print_json(names: list[str], ranked: list[list[Candidate]]) -> None:
    from dataclasses import asdict

    from leakysm_cli.output import print_json

    predictions = [
        {"image": name, "classes": [asdict(one) for one in classes]}
        for name, classes in zip(names, ranked, strict=True)
    ]
    print_json({"predictions": predictions}, indent=2)


def _print_table(names: list[str], ranked: list[list[Candidate]], top: int) -> None:
    width = max(len(name) for name in [*names, "image"])
    column = max(len(one.name) for one in ranked[0])
    print(f"{'image':{width}}  {'class':{column}}  probability  distance")
    for name, classes in zip(names, ranked, strict=True):
        for place, one in enumerate(classes[:top]):
            shown = name if place == 0 else ""
            print(f"{shown:{width}}  {one.name:{column}}  {100 * one.probability:9.2f} %  {one.distance:8.4g}")
