"""`leakysm predict`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from leakysm_cli import options as o
from leakysm_cli.progress import shown_count

from leakysm.choices import NormName
from leakysm.errors import CheckFailed, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from leakysm.data.inputs import InputFormat
    from leakysm.predict.predict import Candidate
    from leakysm.runs.restore import Restored

FAR = "nothing here is close"


def predict(
    run: o.Run,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Images to classify.")],
    support: Annotated[Path, typer.Option(help="Folder that holds one folder for each class, with a few examples.")],
    top: Annotated[int, typer.Option(min=1, help="Number of classes to list for each image.")] = 3,
    picture: Annotated[
        Path | None, typer.Option(help="PNG file to draw: each image beside examples of its nearest class.")
    ] = None,
    distance: Annotated[
        str | None,
        typer.Option(
            help="Another distance than the run's, by name or FILE.py:CLASS.",
            show_default="the run's",
            rich_help_panel=o.DISTANCE,
        ),
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

    Some class always has the highest probability. Where the distance to it is larger than was usual in the run's
    validation, the table says: nothing here is close. An image that cannot be read is named, the others are classified,
    and the exit status is 1.

    Example: leakysm predict runs/20260101-120000-omniglot --support letters unknown1.png unknown2.png
    """
    from dataclasses import replace

    from leakysm_cli.output import tell_unfinished

    from leakysm.experiments.outputs import write_files
    from leakysm.files import printable, write_new
    from leakysm.predict.picture import picture as drawn
    from leakysm.predict.predict import predict as classify
    from leakysm.predict.predict import read_support
    from leakysm.runs import restore
    from leakysm.runs.device import engine_for
    from leakysm.training.closeness import limit_for

    if picture:
        _refuse_to_write_over(picture, images, support)
    restored = restore(run, engine_for(device, backend, threads), trust=trust)
    restored = _with_options(restored, distance, set, norm)
    inputs = restored.checkpoint.inputs
    with shown_count("reading examples") as report:
        classes = read_support(inputs, support, report)
    shot = min(len(examples) for examples in classes.values())
    limit = None if distance else limit_for(restored.closeness(), shot)  # the limits are of the run's own distance
    readable, queries, unreadable = _read(images, inputs)
    with redirect_stdout(sys.stderr):  # what the run's own distance prints
        ranked = classify(restored, classes, queries, restored.config.norm)
    if picture:
        far = [is_close(candidates[0], limit) is False for candidates in ranked]
        content = drawn([printable(path.name) for path in readable], queries, classes, ranked, ink=inputs.ink, far=far)
        write_files(picture.parent, {})
        write_new(picture, content)
    named = [[replace(one, name=printable(one.name)) for one in candidates] for candidates in ranked]
    found = dict(zip(readable, named, strict=True))
    tell_unfinished(run, "classified with", **restored.described())
    if json:
        _print_json(images, found, unreadable, limit)
    else:
        _print_table(found, top, limit, shot)
    if unreadable:
        for error in unreadable.values():
            typer.echo(f"leakysm: {error}", err=True)
        raise CheckFailed(f"{len(unreadable)} of {len(images)} images cannot be read, and were left out")


def _with_options(restored: Restored, distance: str | None, set: list[str] | None, norm: NormName | None) -> Restored:
    """The run with another distance or other statistics, if they are given. Code that is not trusted is refused."""
    from dataclasses import replace

    from leakysm.runs.fill_in import under_distance

    config = restored.config
    if distance:
        config = under_distance(config, {"distance": distance, "set": o.parameters(set or [])})
    else:
        o.refuse("needs --distance; add it", set=set)
    _ = config.metric  # loads the distance's code, before the images are read
    return replace(restored, config=replace(config, norm=norm) if norm else config)


def _read(images: list[Path], inputs: InputFormat) -> tuple[list[Path], NDArray[np.uint8], dict[Path, UserError]]:
    """The images that can be read, their pixels (n, H, W, C), and why others cannot. UserError if none can."""
    import numpy as np

    from leakysm.data.images import read_each_for_net

    with shown_count("reading images") as report:
        read = dict(zip(images, read_each_for_net(images, inputs, report), strict=True))
    unreadable = {path: error for path, error in read.items() if isinstance(error, UserError)}
    pixels = {path: image for path, image in read.items() if not isinstance(image, UserError)}
    if not pixels:
        first = next(iter(unreadable.values()))
        raise UserError(f"none of {len(images)} images can be read; {first}") if len(images) > 1 else first
    return list(pixels), np.stack(list(pixels.values())), unreadable


def _refuse_to_write_over(picture: Path, images: list[Path], support: Path) -> None:
    """UserError unless the picture is a PNG file, none of the images, and outside `support`."""
    from leakysm.errors import UserError

    if picture.suffix.lower() != ".png":
        raise UserError(f"--picture is {picture}: a PNG file is drawn; give a name that ends in .png")
    if picture.exists() and any(image.exists() and picture.samefile(image) for image in images):
        raise UserError(f"--picture is {picture}, an image to classify; give the drawing another name")
    if picture.resolve().is_relative_to(support.resolve()):
        raise UserError(f"--picture is {picture}, among the examples in {support}; choose another folder")


def _print_json(
    images: list[Path], found: dict[Path, list[Candidate]], unreadable: dict[Path, UserError], limit: float | None
) -> None:
    """One object for each image in the order given: its classes, or the error. close: None where it is not known."""
    from dataclasses import asdict

    from leakysm_cli.output import print_json

    from leakysm.files import printable

    predictions: list[dict[str, Any]] = []
    for path in images:
        name = printable(path)
        if path in unreadable:
            predictions.append({"image": name, "error": str(unreadable[path])})
        else:
            classes = [asdict(one) for one in found[path]]
            predictions.append({"image": name, "close": is_close(found[path][0], limit), "classes": classes})
    print_json({"closeness_limit": limit, "predictions": predictions}, indent=2)


def _print_table(found: dict[Path, list[Candidate]], top: int, limit: float | None, shot: int) -> None:
    from leakysm_cli.output import print_lines

    from leakysm.files import printable
    from leakysm.tables import columns
    from leakysm.training.closeness import PART

    rows = []
    for path, classes in found.items():
        for place, one in enumerate(classes[:top]):
            far = place == 0 and is_close(one, limit) is False
            spreads = "unknown" if one.spreads is None else f"{one.spreads:.2f}"
            numbers = (f"{100 * one.probability:.2f} %", f"{one.distance:.4g}", spreads)
            rows.append(["" if place else printable(path), one.name, *numbers, FAR if far else ""])
    header = ("image", "class", "probability", "distance", "spreads", "")
    of = "examples of a class" if shot > 1 else "two classes of the support"
    told = [f"1 spread is the mean distance between {of}."]
    if limit is None:
        told.append("Whether an image is close is unknown: the run has no validation figure for this.")
    else:
        told.append(f"{100 * PART:.0f} % of the images in the run's validation were within {limit:.2f} spreads.")
    print_lines([*columns(header, rows, rule=False, right=range(2, 5)), "", " ".join(told)])


def is_close(nearest: Candidate, limit: float | None) -> bool | None:
    """Whether the nearest class is as close as is usual; None if that is not known."""
    return None if limit is None or nearest.spreads is None else nearest.spreads <= limit
