"""Any folder of images: `<root>/<class>/<image>`, or `<root>/<split>/<class>/<image>` with splits train, val, test.

Without splits the classes are dealt to train, val and test at random, 60 / 20 / 20 percent, by the seed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from leakysm.data.cache import Splits, cached, digest_of
from leakysm.data.dataset import USUAL_SPLITS, ClassSet, Dataset, Report, normalised, starts_of
from leakysm.data.images import SUFFIXES, read_images
from leakysm.data.sources import FolderSource
from leakysm.errors import UserError

_LEAST_CLASSES = 4
_ALL = "all"
_FORMS = "expected <class>/<image>, or <split>/<class>/<image> with the splits train, val and test"
Classes = dict[str, list[str]]


def folder_dataset(
    path: Path, *, seed: int = 0, cache_dir: str | Path | None = None, report: Report | None = None
) -> Dataset:
    """All images of one size; three channels if any has colour, else one.

    UserError if `path` is no folder or sorted otherwise, if an image cannot be read faithfully or has another size, if
    splits share a class, or if there are too few classes to deal.
    """
    if not path.is_dir():
        raise UserError(f"{path} is no folder; {_FORMS}, unpack the archive first")
    source = FolderSource(path)
    found = _sort(source)

    def build() -> Splits:
        files = [file for classes in found.values() for images in classes.values() for file in images]
        images = read_images(source, files, report=report)
        splits, done = {}, 0
        for split, classes in found.items():
            starts = starts_of(map(len, classes.values()))
            splits[split] = ClassSet(images[done : done + starts[-1]], starts, tuple(classes))
            done += int(starts[-1])
        return splits

    splits, digest = cached("folder", source.checksum(), build, cache_dir)
    if _ALL in splits:
        return normalised("folder", deal(path, splits[_ALL], seed), digest_of(digest, f"seed {seed}"))
    data = normalised("folder", {split: splits[split] for split in USUAL_SPLITS if split in splits}, digest)
    return replace(data, folder=path)


def _sort(source: FolderSource) -> dict[str, Classes]:
    """Files by split and class; without splits, one split of all."""
    if not source.names:
        raise UserError(f"{source.path} is an empty folder; {_FORMS}")
    for folder in source.empty_folders:
        raise UserError(f"{source.path / folder} is an empty folder; put images in it, or remove it")
    parts = [name.split("/") for name in source.names if "/" in name]
    with_splits = all(part[0] in USUAL_SPLITS and len(part) == 3 for part in parts)
    found: dict[str, Classes] = {}
    owner: dict[str, str] = {}
    for name in source.names:
        *folders, file = name.split("/")
        is_image = file.lower().endswith(SUFFIXES)
        if not folders and not is_image:
            continue  # a README or a licence beside the classes
        if len(folders) != 1 + with_splits:
            raise UserError(f"{source.path}: {name} lies at no class's place; {_FORMS}")
        if not is_image:
            raise UserError(f"{source.path}: {name} is not an image by its name; remove it, or save it as PNG")
        split = folders[0] if with_splits else _ALL
        if owner.setdefault(folders[-1], split) != split:
            raise UserError(
                f"{source.path} has the class {folders[-1]} in {owner[folders[-1]]} and {split}; "
                "few-shot splits share no class"
            )
        found.setdefault(split, {}).setdefault(folders[-1], []).append(name)
    if not found:
        raise UserError(f"{source.path} holds no images in folders; {_FORMS}")
    return found


def deal(path: Path, pool: ClassSet, seed: int) -> Splits:
    """A fifth of the classes to val and to test each, at least two to test; no val where a fifth is less than two."""
    n = pool.n_classes
    if n < _LEAST_CLASSES:
        raise UserError(
            f"{path} has {n} classes, too few to be dealt to train and test; give {_LEAST_CLASSES} or more, "
            "or sort them into train and test yourself"
        )
    order = np.argsort(np.random.Philox(key=seed).random_raw(n), kind="stable")
    train = n - max(2, 2 * (n // 5))
    val = train + (n // 5 if n // 5 >= 2 else 0)
    shares = {"train": order[:train], "val": order[train:val], "test": order[val:]}
    return {split: pool.take(np.sort(share)) for split, share in shares.items() if len(share)}
