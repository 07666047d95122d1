"""Any folder of images by class, sorted as `class_folders` reads them.

Without splits the classes are divided among train, val and test at random, 60 / 20 / 20 percent, by the seed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from leakysm.data.cache import Splits, cached
from leakysm.data.class_folders import ALL, LAYOUTS, ClassFolders, class_folders
from leakysm.data.dataset import USUAL_SPLITS, ClassSet, Dataset, Report, digest_of, normalised, starts_of
from leakysm.data.images import read_images
from leakysm.errors import UserError

_LEAST_CLASSES = 4


def folder_dataset(
    path: Path, *, seed: int = 0, cache_dir: str | Path | None = None, report: Report | None = None
) -> Dataset:
    """All images of one size; three channels if any has colour, else one.

    UserError if `path` is no folder or sorted otherwise, if an image cannot be read faithfully or has another size, if
    splits share a class, or if there are too few classes to divide.
    """
    if not path.is_dir():
        unpack = ": unpack the archive" if is_zipfile(path) else ""
        raise UserError(f"{path} is not a folder; {LAYOUTS}{unpack}")
    found = class_folders(path)
    splits, digest = cached("folder", found.checksum, lambda: _read(found, report), cache_dir)
    if ALL in splits:
        data = normalised("folder", divide(path, splits[ALL], seed), digest_of(digest, f"seed {seed}"))
        return replace(data, divided=True)
    data = normalised("folder", {split: splits[split] for split in USUAL_SPLITS if split in splits}, digest)
    return replace(data, folder=found.root)


def _read(found: ClassFolders, report: Report | None) -> Splits:
    names = [name for classes in found.files.values() for images in classes.values() for name in images]
    images = read_images(found.source, names, report=report)
    splits, first = {}, 0
    for split, classes in found.files.items():
        starts = starts_of(map(len, classes.values()))
        last = first + int(starts[-1])
        splits[split] = ClassSet(images[first:last], starts, tuple(classes))
        first = last
    return splits


def divide(path: Path, pool: ClassSet, seed: int) -> Splits:
    """Divide at random: a fifth to val, a fifth to test. If a fifth is less than two: none to val, two to test."""
    n = pool.n_classes
    if n < _LEAST_CLASSES:
        raise UserError(
            f"{path} has {n} class{'es' * (n != 1)}, too few to divide into train and test; "
            f"give {_LEAST_CLASSES} or more, or sort them into train and test yourself"
        )
    order = np.argsort(np.random.Philox(key=seed).random_raw(n), kind="stable")
    train = n - max(2, 2 * (n // 5))
    val = train + (n // 5 if n // 5 >= 2 else 0)
    shares = {"train": order[:train], "val": order[train:val], "test": order[val:]}
    return {split: pool.take(np.sort(share)) for split, share in shares.items() if len(share)}
