"""Any folder of images: `<root>/<class>/<image>`, or `<root>/<split>/<class>/<image>` with splits train, val, test.

Without splits the classes are divided among train, val and test at random, 60 / 20 / 20 percent, by the seed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from leakysm.data.cache import Splits, cached
from leakysm.data.dataset import USUAL_SPLITS, ClassSet, Dataset, Report, digest_of, normalised, starts_of
from leakysm.data.images import is_image_name, read_images
from leakysm.data.sources import FolderSource
from leakysm.errors import UserError

_LEAST_CLASSES = 4
_ALL = "all"  # the one split of a folder without splits
_LAYOUTS = "expected <class>/<image>, or <split>/<class>/<image> with the splits train, val and test"
Classes = dict[str, list[str]]  # a split's image files by class


def folder_dataset(
    path: Path, *, seed: int = 0, cache_dir: str | Path | None = None, report: Report | None = None
) -> Dataset:
    """All images of one size; three channels if any has colour, else one.

    UserError if `path` is no folder or sorted otherwise, if an image cannot be read faithfully or has another size, if
    splits share a class, or if there are too few classes to divide.
    """
    if not path.is_dir():
        raise UserError(f"{path} is no folder; {_LAYOUTS}, unpack the archive first")
    source = FolderSource(path)
    files = _files_by_class(source)
    splits, digest = cached("folder", source.checksum(), lambda: _read(source, files, report), cache_dir)
    if _ALL in splits:
        return normalised("folder", divide(path, splits[_ALL], seed), digest_of(digest, f"seed {seed}"))
    data = normalised("folder", {split: splits[split] for split in USUAL_SPLITS if split in splits}, digest)
    return replace(data, folder=path)


def _read(source: FolderSource, files: dict[str, Classes], report: Report | None) -> Splits:
    names = [name for classes in files.values() for images in classes.values() for name in images]
    images = read_images(source, names, report=report)
    splits, first = {}, 0
    for split, classes in files.items():
        starts = starts_of(map(len, classes.values()))
        last = first + int(starts[-1])
        splits[split] = ClassSet(images[first:last], starts, tuple(classes))
        first = last
    return splits


def _files_by_class(source: FolderSource) -> dict[str, Classes]:
    """The image files by split and class; without splits, one split of all."""
    names = _image_names(source)
    with_splits = any(_is_in_split(name) for name in names)
    files: dict[str, Classes] = {}
    split_of: dict[str, str] = {}
    for name in names:
        if not (_is_in_split(name) if with_splits else name.count("/") == 1):
            raise UserError(f"{source.path}: {name} is in no class's folder; {_LAYOUTS}")
        *folders, _ = name.split("/")
        split, label = folders if with_splits else (_ALL, folders[0])
        if split_of.setdefault(label, split) != split:
            raise UserError(
                f"{source.path} has the class {label} in {split_of[label]} and {split}; few-shot splits share no class"
            )
        files.setdefault(split, {}).setdefault(label, []).append(name)
    return files


def _image_names(source: FolderSource) -> list[str]:
    """All files but those beside the classes that are no images, a README or a licence say."""
    if not source.names:
        raise UserError(f"{source.path} is an empty folder; {_LAYOUTS}")
    for folder in source.empty_folders:
        raise UserError(f"{source.path / folder} is an empty folder; put images in it, or remove it")
    for name in source.names:
        folder, _, file = name.rpartition("/")
        if folder and not is_image_name(file):
            raise UserError(
                f"{source.path}: {name} is not an image by its name; move it out of {folder}, or save it as PNG"
            )
    names = [name for name in source.names if is_image_name(name)]
    if not names:
        raise UserError(f"{source.path} holds no images in folders; {_LAYOUTS}")
    return names


def _is_in_split(name: str) -> bool:
    """Whether the name is <split>/<class>/<image>."""
    folders = name.split("/")[:-1]
    return len(folders) == 2 and folders[0] in USUAL_SPLITS


def divide(path: Path, pool: ClassSet, seed: int) -> Splits:
    """A fifth of the classes to val and to test each, at least two to test; no val where a fifth is less than two."""
    n = pool.n_classes
    if n < _LEAST_CLASSES:
        raise UserError(
            f"{path} has {n} classes, too few to divide into train and test; give {_LEAST_CLASSES} or more, "
            "or sort them into train and test yourself"
        )
    order = np.argsort(np.random.Philox(key=seed).random_raw(n), kind="stable")
    train = n - max(2, 2 * (n // 5))
    val = train + (n // 5 if n // 5 >= 2 else 0)
    shares = {"train": order[:train], "val": order[train:val], "test": order[val:]}
    return {split: pool.take(np.sort(share)) for split, share in shares.items() if len(share)}
