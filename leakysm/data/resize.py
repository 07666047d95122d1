"""A copy of a data set's images, all of one size, in the layout that they were read from."""

from __future__ import annotations

import os
from pathlib import Path

from leakysm.data.class_folders import class_folders
from leakysm.data.dataset import Report
from leakysm.data.folder_or_zip import Source
from leakysm.data.images import BILINEAR, decode, in_threads
from leakysm.data.miniimagenet_pickles import has_pickles
from leakysm.data.split_tables import SIZE, files_of, has_tables, tables_and_images
from leakysm.errors import UserError
from leakysm.files import UnwritableError, printable, temporary_folder
from leakysm.tables import csv_table

Targets = dict[str, str]  # where the copy has each image, by its name in the source
LARGEST = 1 << 12  # pixels in a row: Pillow, the cache and checkpoints take such images
RESIZABLE = ("folder", "miniimagenet", "caltech101")


def write_resized(name: str, path: Path, size: int, out: Path, report: Report | None = None) -> None:
    """Write the folder `out` with every image of the data set as a PNG of size x size, whatever its proportions.

    An image is resized as `leakysm predict` resizes those that it is given. name: one of RESIZABLE. `out` is there
    whole or not at all. UserError if it exists or lies among the data, if size is above LARGEST, or if an
    image or the layout cannot be read.
    """
    if out.exists():
        raise UserError(f"{out} exists already; use it with --data, give another --out, or remove it")
    if out.resolve().is_relative_to((path if path.is_dir() else path.parent).resolve()):
        raise UserError(f"--out is {out}, among the data in {path}; choose another folder")
    if name != "folder" and size != SIZE:
        raise UserError(f"--size is {size}, and {name} has images of {SIZE}x{SIZE}; give --size {SIZE}")
    if size > LARGEST:
        raise UserError(f"--size is {size}, expected at most {LARGEST}; give a smaller one")
    source, targets, tables = _of_folder(path) if name == "folder" else _of_tables(name, path)
    first: dict[str, str] = {}
    for one, target in targets.items():
        if (other := first.setdefault(target, one)) != one:
            raise UserError(f"{source.path}: the copies of {other} and {one} would have one name; rename one")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(out) as work:
            copy = work / "copy"
            for folder in {(copy / target).parent for target in targets.values()}:
                folder.mkdir(parents=True, exist_ok=True)
            for split, text in tables.items():
                (copy / f"{split}.csv").write_bytes(text)
            _write_images(source, targets, size, copy, report)
            if hasattr(os, "sync"):
                os.sync()  # all at once: a power cut leaves the whole folder, or none of this name
            copy.rename(out)
    except OSError as error:
        raise UnwritableError(out, error) from None


def _write_images(source: Source, targets: Targets, size: int, folder: Path, report: Report | None) -> None:
    def write(name: str) -> None:
        image = decode(source.read(name), printable(source.path / name))
        image.resize((size, size), BILINEAR).save(folder / targets[name], "PNG")

    for _ in in_threads(write, list(targets), report):
        pass


def _of_folder(path: Path) -> tuple[Source, Targets, dict[str, bytes]]:
    found = class_folders(path)
    targets = {
        name: _png(name if found.root else f"{split}/{name}")
        for split, classes in found.files.items()
        for names in classes.values()
        for name in names
    }
    return found.source, targets, {}


def _of_tables(name: str, path: Path) -> tuple[Source, Targets, dict[str, bytes]]:
    root = path if path.is_dir() else path.parent
    if has_pickles(root) and not has_tables(root):
        raise UserError(f"{root} holds pickles, whose images are {SIZE}x{SIZE} already; leave --size out")
    source, tables, rows = tables_and_images(name, path)
    targets: Targets = {}
    texts = {}
    for split, table in tables.items():
        files = files_of(source, table, rows[split], split)
        copies = [_png(file.removeprefix("images/")) for file in files]
        targets |= {file: f"images/{copy}" for file, copy in zip(files, copies, strict=True)}
        labelled = [(copy, label) for copy, (_, label) in zip(copies, rows[split], strict=True)]
        texts[split] = csv_table(("filename", "label"), labelled)
    return source, targets, texts


def _png(name: str) -> str:
    """The name of an image's copy: `a.jpg` becomes `a.jpg.png`, since there may be an `a.png`."""
    return name if name.lower().endswith(".png") else f"{name}.png"
