"""`leakysm data`: fetch, prepare, describe and show the data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from leakysm_cli import options as o
from leakysm_cli.help import CONTEXT, SectionedCommand, SectionedGroup
from leakysm_cli.progress import shown_count, shown_transfer

if TYPE_CHECKING:
    from leakysm.data import Dataset

LAST = (1 << 63) - 1

app = typer.Typer(
    name="data",
    cls=SectionedGroup,
    rich_markup_mode=None,
    context_settings=CONTEXT,
    help="Fetch, prepare and show the data sets.\n\nExample: leakysm data info --dataset strokes",
)


@app.command(cls=SectionedCommand)
def fetch(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="omniglot; no other data set can be downloaded.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the archives.", show_default="the cache folder"),
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(help="Web address to download from.", show_default="the published one")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Fetch also the minimal background sets and the within-alphabet runs.")
    ] = False,
) -> None:
    """Download the published archives and check their checksums. A broken transfer is resumed.

    Example: leakysm data fetch omniglot
    """
    from leakysm.data.cache import cache_folder
    from leakysm.data.fetch import ARCHIVES, EXTRAS, PUBLISHED, fetch
    from leakysm.errors import UserError

    if dataset != "omniglot":
        raise UserError(f"cannot fetch {dataset!r}: only omniglot can be; name the folder of another with --data")
    with shown_transfer() as progress:
        files = fetch(
            out or cache_folder() / dataset,
            ARCHIVES + EXTRAS if everything else ARCHIVES,
            mirror=mirror or PUBLISHED,
            progress=progress,
        )
    for file in files:
        typer.echo(str(file))


@app.command(cls=SectionedCommand)
def prepare(
    dataset: o.Dataset = None,
    data: o.Data = None,
    split: o.Split = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Read every file again, and name the classes whose images differ from the cache."),
    ] = False,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="First write a copy of the images, each this many pixels wide and high, to --out."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the copy that --size makes.", show_default="the name of --data and the size"),
    ] = None,
) -> None:
    """Read a data set and keep its images in one file in the cache folder, so that training starts at once.

    The cache folder is LEAKYSM_CACHE, else leakysm in the user's cache folder.
    Images of mixed sizes need --size: it writes a copy of a folder of images, or of miniImageNet's or Caltech's images
    and tables. Train on the copy. With --check the exit status is 1 if an image differs from the cache although its
    file has the same size and time. The cache is then corrected.

    Example: leakysm data prepare --dataset omniglot --data FOLDER
    """
    from time import perf_counter

    from leakysm.data.cache import known_cache_folder, read_anew
    from leakysm.files import printable
    from leakysm.runs.fill_in import refuse_split

    start = perf_counter()
    if size:
        refuse_split({"dataset": dataset or "strokes", "split": split})  # before anything is made
        data = _resized(dataset, data, size, out)
    else:
        o.refuse("needs --size; add it", out=out)
    loaded = _load(dataset, data, split)
    changed = []
    if check:
        with read_anew():
            again = _load(dataset, data, split)
        changed, loaded = _changed(loaded, again), again
    images = sum(len(one.images) for name, one in loaded.splits.items() if name != "trainval")  # train and val
    folder = known_cache_folder() or "none"
    typer.echo(f"{loaded.name}: {images} images ready in {perf_counter() - start:.1f} s; cache folder {folder}")
    if check:
        names = ", ".join(map(printable, changed[:3])) + (", ..." if len(changed) > 3 else "")
        typer.echo(
            f"classes whose images had changed: {len(changed)} ({names})"
            if changed
            else "the cache agrees with the files"
        )
    if changed:
        raise typer.Exit(1)


@app.command(cls=SectionedCommand)
def info(
    dataset: o.Dataset = None,
    data: o.Data = None,
    split: o.Split = None,
    json: o.Json = False,
) -> None:
    """Print a data set's splits with their numbers of classes and images, its image size and its checksum.

    Example: leakysm data info --dataset omniglot --data FOLDER --split vinyals
    """
    loaded = _load(dataset, data, split)
    if json:
        from leakysm_cli.output import print_json

        print_json(_description(loaded), indent=2)
        return
    typer.echo(f"{loaded.name}, images {'x'.join(map(str, loaded.image_shape))} (height x width x channels)")
    typer.echo(f"{'split':10}{'classes':>9}{'images':>9}  images a class")
    for name, one in loaded.splits.items():
        fewest, most = one.counts.min(), one.counts.max()
        typer.echo(
            f"{name:10}{one.n_classes:9}{len(one.images):9}  {fewest if fewest == most else f'{fewest} to {most}'}"
        )
    typer.echo(f"checksum  {loaded.digest}")
    if loaded.divided:
        typer.echo(
            "There are no folders train, val and test, so leakysm split the classes. The split is always the same."
        )


@app.command(cls=SectionedCommand)
def show(
    dataset: o.Dataset = None,
    data: o.Data = None,
    split: o.Split = None,
    part: Annotated[str, typer.Option(help="Split to show: train, val or test.")] = "test",
    classes: Annotated[
        int | None,
        typer.Option(min=1, help="Number of classes on the contact sheet.", show_default="10, or all if fewer"),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Number of images of each class.", show_default="10, or all if fewer")
    ] = None,
    way: Annotated[int, typer.Option(min=2, help="Number of classes in the episode.")] = 5,
    shot: Annotated[int, typer.Option(min=1, help="Number of support images of each class.")] = 1,
    query: Annotated[int, typer.Option(min=1, help="Number of query images of each class.")] = 5,
    episode: Annotated[int, typer.Option(min=0, max=LAST, help="Number of the episode.")] = 0,
    seed: Annotated[int, typer.Option(min=0, max=LAST, help="Seed for the episode, as in training.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for classes.png and episode.png.")] = Path(),
) -> None:
    """Draw two pictures: a contact sheet of classes, and one episode with its support and queries.

    With --part train, `leakysm train` with the same seed, way, shot and query trains on this very episode.

    Example: leakysm data show --dataset omniglot --data FOLDER --way 5 --out pictures
    """
    from leakysm.data.sheet import class_sheet, episode_sheet, save
    from leakysm.episodes import check_episode, sample
    from leakysm.errors import UserError

    if data and out.resolve().is_relative_to(data.resolve()):
        raise UserError(f"--out is {out}, among the data in {data}; choose another folder")
    loaded = _load(dataset, data, split)
    one = loaded.split(part)
    check_episode(one.starts, way, shot, query, split=part, names=one.names)
    classes = _at_most("classes", classes, one.n_classes, f"the {part} split has {one.n_classes} classes")
    most = int(one.counts.max())
    samples = _at_most("samples", samples, most, f"the largest class of the {part} split has {most} images")
    drawn = sample(one.starts, way, shot, query, seed=seed, split=part, episode=episode)
    pictures = {
        "classes.png": class_sheet(loaded, part, classes=classes, samples=samples),
        "episode.png": episode_sheet(loaded, part, drawn.support, drawn.query, way=way, number=episode),
    }
    for name, figure in pictures.items():
        save(figure, out / name)
        typer.echo(str(out / name))


def _changed(before: Dataset, after: Dataset) -> list[str]:
    """The classes, as split/class, that are not in both with the same images in the same order."""
    first, second = _digests(before), _digests(after)
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def _digests(data: Dataset) -> dict[str, str]:
    from hashlib import sha256
    from itertools import pairwise

    return {
        f"{split}/{name}": sha256(one.images[start:stop].tobytes()).hexdigest()
        for split, one in data.splits.items()
        if split != "trainval"
        for name, (start, stop) in zip(one.names, pairwise(one.starts), strict=True)
    }


def _resized(dataset: str | None, data: Path | None, size: int, out: Path | None) -> Path:
    """Where the copy of the data's images with that size is, after it was written."""
    from leakysm.data.resize import RESIZABLE, write_resized
    from leakysm.errors import UserError
    from leakysm.files import expanded

    if dataset not in RESIZABLE:
        raise UserError(f"--size is for --dataset {', '.join(RESIZABLE)}; {dataset or 'strokes'} has a fixed size")
    if data is None or not expanded(data).exists():
        raise UserError(
            f"{data or '--size'}: no such file or folder; give the place of the data set's files with --data"
        )
    data = expanded(data)
    folder = (data if data.is_dir() else data.parent).resolve()
    out = out or Path(f"{folder.name}-{size}")
    with shown_count("resizing images") as report:
        write_resized(dataset, data, size, out, report)
    typer.echo(f"images of {size}x{size} are in {out}: use --data {out}")
    return out


def _at_most(option: str, given: int | None, there: int, reason: str) -> int:
    """The given number, or 10, or all if there are fewer. UserError if the given number is larger than `there`."""
    from leakysm.errors import UserError

    if given is not None and given > there:
        raise UserError(f"--{option} is {given}, but {reason}; give {there} or less")
    return min(10, there) if given is None else given


def _load(dataset: str | None, data: Path | None, split: str | None) -> Dataset:
    """Load through training's own loader: what is shown is what is trained on."""
    from leakysm.runs.resolve import load_data

    settings = {"dataset": dataset or "strokes", "data": data} | ({"split": split} if split else {})
    with shown_count("reading images") as report:
        return load_data(settings, report)


def _description(data: Dataset) -> dict[str, object]:
    return {
        "dataset": data.name,
        "image_shape": data.image_shape,
        "mean": data.inputs.mean.tolist(),
        "std": data.inputs.std.tolist(),
        "digest": data.digest,
        "splits": {
            name: {
                "classes": one.n_classes,
                "images": len(one.images),
                "fewest_images_a_class": int(one.counts.min()),
                "most_images_a_class": int(one.counts.max()),
            }
            for name, one in data.splits.items()
        },
    }
