"""Photographs with `filename,label` tables: miniImageNet (Ravi and Larochelle's split), Caltech 101 in the same form.

Images are 84x84x3. They lie in `images.zip`, in a folder `images`, or beside the tables: all in one folder, in
`<class>`, or in `<split>/<class>`. A table may name them with these folders or without.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from itertools import chain, islice
from pathlib import Path

import numpy as np

from leakysm.data.cache import Splits, cached
from leakysm.data.dataset import (
    USUAL_SPLITS,
    ClassSet,
    Dataset,
    Report,
    digest_of,
    normalised,
    refuse_shared,
    same_class,
)
from leakysm.data.folder_or_zip import Source, open_source
from leakysm.data.images import RESIZE, is_image_name, read_images
from leakysm.data.miniimagenet_classes import refuse_other_classes
from leakysm.errors import UserError
from leakysm.files import read_file

SIZE = 84
Rows = list[tuple[str, str]]  # file, class


def table_dataset(
    name: str, path: Path, *, cache_dir: str | Path | None = None, report: Report | None = None
) -> Dataset:
    """`path`: the folder that holds tables and images, or one of these files. Splits train, val, test.

    UserError if tables or images are absent, damaged or of another form, if splits share a class, or if `name` is
    miniimagenet and the classes are not its own.
    """
    source, tables, rows = tables_and_images(name, path)
    checksum = digest_of(
        source.checksum(), *(digest_of(split, *chain.from_iterable(rows[split])) for split in USUAL_SPLITS)
    )

    def build() -> Splits:
        files = {split: files_of(source, tables[split], rows[split], split) for split in USUAL_SPLITS}
        refuse_shared("image", files, tables)
        return {split: _read_split(source, files[split], rows[split], report) for split in USUAL_SPLITS}

    return normalised(name, *cached(name, checksum, build, cache_dir))


def tables_and_images(name: str, path: Path) -> tuple[Source, dict[str, Path], dict[str, Rows]]:
    """Where the images are, and the three tables: their files and their rows, sorted by class.

    UserError if they are absent, if splits share a class, or if they are not what `name` says.
    """
    root = path.parent if path.is_file() else path
    tables = _find_tables(name, root)
    source = _find_images(root, path)
    rows = {split: _read_table(file) for split, file in tables.items()}
    classes = {split: sorted({label for _, label in rows[split]}) for split in USUAL_SPLITS}
    refuse_shared("class", {split: map(same_class, classes[split]) for split in USUAL_SPLITS}, tables)
    if name == "miniimagenet":
        refuse_other_classes(root, classes)
    return source, tables, rows


def has_tables(root: Path) -> bool:
    """Whether any of the three tables is where they are looked for."""
    return any((folder / f"{split}.csv").is_file() for folder in _folders(root) for split in USUAL_SPLITS)


def _folders(root: Path) -> tuple[Path, ...]:
    return (root, root / "ravi", root / "splits" / "ravi", root / "splits")


def _find_tables(name: str, root: Path) -> dict[str, Path]:
    for folder in _folders(root):
        files = {split: folder / f"{split}.csv" for split in USUAL_SPLITS}
        there = [split for split in USUAL_SPLITS if files[split].is_file()]
        if len(there) == len(USUAL_SPLITS):
            return files
        if there:
            raise UserError(f"{folder} has {', '.join(there)} of train.csv, val.csv and test.csv; add the others")
    raise UserError(f"{root} has no train.csv, val.csv and test.csv; {_way_out(name, root)}")


def _way_out(name: str, root: Path) -> str:
    """What to do with a folder without tables, by what it holds instead."""
    pickles = sorted(file.name for file in root.glob("*") if file.suffix in (".pkl", ".pickle"))
    if pickles:
        return (
            f"{pickles[0]} is no pickle that can be read: expected miniImageNet's, mini-imagenet-cache-train.pkl or "
            "miniImageNet_category_split_train_phase_train.pickle"
        )
    if any(is_image_name(file.name) for file in islice(root.glob("*/*"), 1000)):
        return f"it holds images in folders: use --dataset folder, or add {name}'s tables"
    return f"give the folder that holds {name}'s tables and images"


def _find_images(root: Path, path: Path) -> Source:
    if path.suffix == ".zip":
        return open_source(path)
    return open_source(next((p for p in (root / "images.zip", root / "images") if p.exists()), root))


def _read_table(file: Path) -> Rows:
    """The lines of a table, sorted by class. UserError for the first fault."""
    try:
        text = read_file(file, mend="make it readable").decode("utf-8-sig")
        lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} is not a readable table ({error}); expected lines `filename,label`") from None
    if "\0" in text:
        raise UserError(f"{file} holds a byte of value 0; expected a text of lines filename,label")
    if not lines or lines[0] != ["filename", "label"]:
        raise UserError(f"{file} begins with {lines[0] if lines else 'nothing'}; expected the line filename,label")
    if len(lines) == 1:
        raise UserError(f"{file} lists no images; expected lines filename,label")
    wrong = next((line for line in lines if len(line) != 2 or not all(line)), None)
    if wrong:
        raise UserError(f"{file} has the line {','.join(wrong)!r}; expected filename,label")
    rows = [(name, label) for name, label in lines[1:]]
    (commonest, times), *_ = Counter(name for name, _ in rows).most_common(1)
    if times > 1:
        raise UserError(f"{file} lists {commonest} {times} times; keep one of the lines")
    spelled: dict[str, str] = {}  # the spelling of each class that is first in the alphabet
    for label in sorted({label for _, label in rows}):
        spelled.setdefault(same_class(label), label)
    return sorted(((name, spelled[same_class(label)]) for name, label in rows), key=lambda row: row[1])


def files_of(source: Source, table: Path, rows: Rows, split: str) -> list[str]:
    """The table's images by their names in the source. UserError if the source lacks some, or two are the same file."""
    there = {_written(name): name for name in source.names} | {name: name for name in source.names}
    files = {name: _file(name, label, split, there) for name, label in rows}
    absent = [name for name, file in files.items() if file is None]
    if absent:
        raise UserError(
            f"{table} names {len(absent)} of {len(rows)} files that {source.path} does not hold: "
            f"{', '.join(absent[:3])}{' ...' if len(absent) > 3 else ''}; give the folder that holds the images"
        )
    found = [file for file in files.values() if file is not None]
    (commonest, times), *_ = Counter(found).most_common(1)
    if times > 1:
        names = ", ".join(name for name, file in files.items() if file == commonest)
        raise UserError(f"{table} lists {commonest} {times} times, as {names}; keep one of the lines")
    return found


def _read_split(source: Source, files: list[str], rows: Rows, report: Report | None) -> ClassSet:
    images = read_images(source, files, channels=3, report=report)
    if images.shape[1:3] != (SIZE, SIZE):
        raise UserError(f"{source.path}: images are {images.shape[2]}x{images.shape[1]}, expected 84x84; {RESIZE}")
    names, starts = np.unique([label for _, label in rows], return_index=True)
    return ClassSet(images, np.append(starts, len(rows)).astype(np.int64), tuple(map(str, names)))


def _file(name: str, label: str, split: str, there: Mapping[str, str]) -> str | None:
    """An image's name in the source, in the first of the usual layouts that has it; by name, else in any spelling."""
    name = name.replace("\\", "/").removeprefix("./")
    below = ("", f"{label}/", f"{split}/{label}/", f"{split}/")
    folders = [images + folder for folder in below for images in ("images/", "")]
    files = [folder + one for one in (name, name.removeprefix("images/")) for folder in folders]
    return next((there[file] for file in chain(files, map(_written, files)) if file in there), None)


def _written(path: str) -> str:
    """The path with the one form of each part's name."""
    return "/".join(map(same_class, path.split("/")))
