"""Omniglot (Lake et al., 2015) from its published archives, or the folders that they unpack to.

Images become 8-bit grey, are rotated by 0, 90, 180 and 270 degrees (counter-clockwise; each rotation of a character
is a class of its own), then resized to 28x28 (Pillow's bilinear, which averages when it reduces), then stored as
ink = 255 - grey.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from leakysm.data.cache import Splits, cached
from leakysm.data.dataset import ClassSet, Dataset, Images, Report, digest_of, in_class_order
from leakysm.data.folder_or_zip import Source, ZipSource, open_source
from leakysm.data.images import decode, in_threads
from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError
from leakysm.files import read_file

BACKGROUND, EVALUATION = "images_background", "images_evaluation"
SMALL1, SMALL2 = "images_background_small1", "images_background_small2"
SPLITS = {  # part for training, part for testing
    "lake": (BACKGROUND, EVALUATION),
    "vinyals": (BACKGROUND, EVALUATION),
    "vinyals-trainval": (BACKGROUND, EVALUATION),
    "minimal1": (SMALL1, EVALUATION),
    "minimal2": (SMALL2, EVALUATION),
}
PARTS = {BACKGROUND: 964, EVALUATION: 659, SMALL1: 136, SMALL2: 156}  # characters of each
DRAWERS = 20  # of each character
SIZE, _SOURCE_SIZE = 28, 105
_IMAGE = re.compile(r"([^/]+/character\d+)/\d+_\d+\.png")


def omniglot(
    path: Path, *, split: str = "lake", cache_dir: str | Path | None = None, report: Report | None = None
) -> Dataset:
    """`path`: the folder that holds the archives or folders, or one of them.

    lake: train and test are the background and evaluation alphabets. vinyals: train, val, trainval and test by the
    lists in `splits/vinyals` or `vinyals` beside the data. vinyals-trainval: trains on its trainval, without val.
    minimal1, minimal2: train on five alphabets, test on all of evaluation.

    UserError if a part or a list is absent, incomplete or damaged, or holds what Omniglot does not.
    """
    root = path.parent if path.is_file() or path.name in PARTS else path
    sources = {part: _find(root, path, part) for part in SPLITS[split]}
    lists = _vinyals_lists(root) if split.startswith("vinyals") else {}
    checksum = digest_of(*(f"{part} {source.checksum()}" for part, source in sources.items()))

    def build() -> Splits:
        return {part: _read_part(source, part, report) for part, source in sources.items()}

    parts, digest = cached("omniglot", checksum, build, cache_dir)
    train, test = (parts[part] for part in sources)
    splits = _vinyals(train, test, lists) if lists else {"train": train, "test": test}
    if split == "vinyals-trainval":
        splits = {"train": splits["trainval"], "test": splits["test"]}
    listed = [f"{name} {character}" for name, characters in lists.items() for character in characters]
    digest = digest_of(split, digest, *listed)
    return Dataset("omniglot", splits, InputFormat.unscaled((SIZE, SIZE, 1), ink=True), digest)


def _find(root: Path, path: Path, part: str) -> Source:
    if path.is_file() and path.stem not in PARTS:
        raise UserError(
            f"{path} is not one of Omniglot's files; expected {BACKGROUND}.zip, or the folder that holds it"
        )
    doubled = root / part / part  # as Windows unpacks it
    for candidate in (root / f"{part}.zip", doubled, root / part):
        if candidate.exists():
            return open_source(candidate)
    raise UserError(
        f"{root} holds no {part}.zip and no folder {part}; get them with "
        f"`leakysm data fetch omniglot{' --all' if part in (SMALL1, SMALL2) else ''}`, "
        "or give another --data"
    )


def _read_part(source: Source, part: str, report: Report | None) -> ClassSet:
    """Every character of a part in its four rotations. UserError for a file that the part does not have."""
    names = [name.removeprefix(f"{part}/") for name in source.names]
    prefix = f"{part}/" if isinstance(source, ZipSource) and source.names != tuple(names) else ""
    characters: dict[str, list[str]] = {}
    for full, name in zip(source.names, names, strict=True):
        match = _IMAGE.fullmatch(name)
        if not match or full != prefix + name:
            top, _, inside = full.partition("/")
            mend = f"rename its top folder {top} to {part}" if _IMAGE.fullmatch(inside) else "download it again"
            raise UserError(
                f"{source.path} holds '{full}', which is not Omniglot's {part}: expected only "
                f"{prefix}<alphabet>/character<NN>/<NNNN>_<NN>.png; {mend}"
            )
        characters.setdefault(match[1], []).append(full)
    if not characters:
        raise UserError(f"{source.path} is empty; expected <alphabet>/character<NN>/<NNNN>_<NN>.png, download it again")
    _refuse_incomplete(source.path, part, characters)
    images = in_threads(
        lambda files: _four_rotations([grey_drawing(source, file) for file in files]), [*characters.values()], report
    )
    classes = [f"{character}/rot{degrees:03d}" for character in characters for degrees in (0, 90, 180, 270)]
    return in_class_order([rotation for four in images for rotation in four], classes)


def _refuse_incomplete(path: Path, part: str, characters: Mapping[str, Sequence[str]]) -> None:
    if len(characters) != PARTS[part]:
        raise UserError(
            f"{path} holds {len(characters)} characters, expected the {PARTS[part]} of Omniglot's {part}; "
            "download it again"
        )
    for character, files in characters.items():
        if len(files) != DRAWERS:
            raise UserError(f"{path} holds {len(files)} drawings of {character}, expected {DRAWERS}; download it again")


def grey_drawing(source: Source, name: str) -> Images:
    """One drawing as 8-bit grey (105, 105)."""
    image = decode(source.read(name), f"{source.path}: {name}")
    if image.mode != "L" or image.size != (_SOURCE_SIZE, _SOURCE_SIZE):
        raise UserError(
            f"{source.path}: {name} is {image.width}x{image.height} {image.mode}, expected 105x105 in 1 bit or grey; "
            "get the published archive"
        )
    return np.frombuffer(image.tobytes(), np.uint8).reshape(_SOURCE_SIZE, _SOURCE_SIZE)


def _four_rotations(images: Sequence[Images]) -> list[Images]:
    """Ink (n, 28, 28, 1) of each rotation, from greys (105, 105).

    Two resizes are enough for four rotations. Half a turn reverses rows and columns, and Pillow's kernel from 105 to 28
    is symmetric to the last bit, so turning the resized image gives the same pixels as resizing the turned image; a
    test holds that.
    """
    stack = np.stack(images)
    upright, quarter = ink(stack), ink(np.rot90(stack, axes=(1, 2)))
    return [upright, quarter, upright[:, ::-1, ::-1], quarter[:, ::-1, ::-1]]


def ink(greys: Images) -> Images:
    """Greys (n, H, W) to ink (n, 28, 28, 1)."""
    return 255 - shrink(greys)[..., None]


def shrink(images: Images) -> Images:
    """Pillow's bilinear resize of squares (n, S, S) to (n, 28, 28), bit for bit, in two calls for all images.

    Pillow resizes the rows of an image, rounds to 8 bits, then resizes the columns; it does nothing in a direction
    whose length stays. So the first call takes all images one below the other and resizes their rows, and the second
    takes them side by side and resizes their columns.
    """
    n, side, _ = images.shape
    tall = Image.fromarray(np.ascontiguousarray(images).reshape(n * side, side))
    rows = np.asarray(tall.resize((SIZE, n * side), Image.Resampling.BILINEAR)).reshape(n, side, SIZE)
    wide = Image.fromarray(np.ascontiguousarray(rows.transpose(1, 0, 2)).reshape(side, n * SIZE))
    columns = np.asarray(wide.resize((n * SIZE, SIZE), Image.Resampling.BILINEAR)).reshape(SIZE, n, SIZE)
    return np.ascontiguousarray(columns.transpose(1, 0, 2))


def _vinyals_lists(root: Path) -> dict[str, list[str]]:
    """The class names of train, val and test in the order of the lists."""
    folder = next((f for f in (root / "splits" / "vinyals", root / "vinyals") if f.is_dir()), None)
    if folder is None:
        raise UserError(
            f"{root} has no splits/vinyals/train.txt, val.txt and test.txt; put the lists there, or take --split lake"
        )
    lists: dict[str, list[str]] = {}
    seen: dict[str, str] = {}
    for split in ("train", "val", "test"):
        file = folder / f"{split}.txt"
        mend = "the Vinyals split needs train.txt, val.txt and test.txt"
        try:
            lines = read_file(file, mend=mend).decode().split("\n")
        except UnicodeDecodeError:
            raise UserError(f"{file} is not a text file in UTF-8; {mend}") from None
        lists[split] = [line.strip() for line in lines if line.strip()]
        for name in lists[split]:
            if name in seen:
                raise UserError(
                    f"{file} lists {name}, which {seen[name]}.txt has already; a class belongs to one split, once"
                )
            seen[name] = split
    return lists


def _vinyals(background: ClassSet, evaluation: ClassSet, lists: dict[str, list[str]]) -> Splits:
    images = {
        name: part.images[start:stop]
        for part in (background, evaluation)
        for name, start, stop in zip(part.names, part.starts[:-1], part.starts[1:], strict=True)
    }
    for split, names in lists.items():
        absent = [name for name in names if name not in images]
        if absent or not names:
            raise UserError(
                f"the Vinyals list {split}.txt has {len(names)} classes, of which {len(absent)} are not in the images"
                f"{': ' + ', '.join(absent[:3]) if absent else ''}; expected <alphabet>/character<NN>/rot<NNN>"
            )
    both = lists["train"] + lists["val"]
    trainval = in_class_order([images[name] for name in both], both)
    cut = len(lists["train"])
    return {
        "train": trainval.slice(0, cut),
        "val": trainval.slice(cut, trainval.n_classes),
        "trainval": trainval,
        "test": in_class_order([images[name] for name in lists["test"]], lists["test"]),
    }
