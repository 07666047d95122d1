"""miniImageNet from its usual pickles. `leakysm.data.pickles` reads them without running their code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakysm.data.dataset import USUAL_SPLITS, ClassSet, Dataset, normalised, refuse_shared, splits_digest, starts_of
from leakysm.data.miniimagenet_classes import refuse_other_classes
from leakysm.data.pickles import as_indices, as_text, read_pickle
from leakysm.data.split_tables import has_tables
from leakysm.errors import UserError

_CACHES = {split: f"mini-imagenet-cache-{split}.pkl" for split in USUAL_SPLITS}  # as Ren et al. (2018) pass them on
VALIDATION = "mini-imagenet-cache-validation.pkl"  # as learn2learn calls the val split
_CATEGORY_SPLITS = {  # as Gidaris and Komodakis (2018) do; their `train_phase_val` holds more images of train's classes
    split: f"miniImageNet_category_split_{name}.pickle"
    for split, name in (("train", "train_phase_train"), ("val", "val"), ("test", "test"))
}


def has_pickles(folder: Path) -> bool:
    """Whether a folder's images are read from pickles: its caches, or its category splits if it has no tables."""
    return _any_of(folder, _CACHES) or (_any_of(folder, _CATEGORY_SPLITS) and not has_tables(folder))


def _any_of(folder: Path, files: Mapping[str, str]) -> bool:
    return any((folder / file).exists() for file in files.values())


def pickle_dataset(root: Path) -> Dataset:
    """miniImageNet from three pickles in a folder: its caches if any is there, else its category splits.

    Splits train, val, test. UserError if a file is absent, damaged, no miniImageNet, or names anything but arrays and
    plain containers.
    """
    form = dict(_CACHES if _any_of(root, _CACHES) else _CATEGORY_SPLITS)
    if form == _CACHES and not (root / form["val"]).exists() and (root / VALIDATION).exists():
        form["val"] = VALIDATION
    files = {split: root / file for split, file in form.items()}
    splits = {
        split: read_split(file, mend=f"all of {', '.join(form.values())} are needed") for split, file in files.items()
    }
    classes = {split: one.names for split, one in splits.items()}
    refuse_shared("class", classes, files)
    refuse_other_classes(root, classes)
    return normalised("miniimagenet", splits, splits_digest(splits))


def read_split(file: Path, *, mend: str = "give the pickle's place") -> ClassSet:
    """One split from its file: a dict of `image_data` uint8 (n, 84, 84, 3) and `class_dict`, name -> indices of images;
    or of `data` uint8 (n, 84, 84, 3), `labels` (n,) and `catname2label`, name -> label.

    UserError if it holds anything else, or names anything but arrays and plain containers. The message ends in `mend`
    if there is no such file.
    """
    expected = (
        "expected a dict of image_data, uint8 (n, 84, 84, 3), and class_dict, class -> indices; "
        "or of data, labels and catname2label"
    )
    data = read_pickle(file, mend=mend)
    try:
        data = {as_text(key): value for key, value in data.items()}
        if "image_data" in data:
            images = data["image_data"].array()
            classes = _listed(data["class_dict"], len(images))
        else:
            images = data["data"].array()
            classes = _labelled(data["labels"], data["catname2label"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError):
        raise UserError(f"{file} does not hold miniImageNet; {expected}") from None
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (84, 84, 3):
        raise UserError(f"{file} holds images {images.dtype} {images.shape}; {expected}")
    names = sorted(classes)
    rows = np.concatenate([classes[name] for name in names]) if names else np.zeros(0, np.int64)
    if not all(len(classes[name]) for name in names) or not np.array_equal(np.sort(rows), np.arange(len(images))):
        raise UserError(f"{file} does not give each of its {len(images)} images one class; {expected}")
    starts = starts_of(len(classes[name]) for name in names)
    return ClassSet(images[rows], starts, tuple(names))


def _listed(class_dict: Any, most: int) -> dict[str, NDArray[np.int64]]:
    """The images of each class, at most `most` in all. One of Python's own errors if the dict has another form."""
    classes = {}
    for name, indices in class_dict.items():
        classes[as_text(name)] = as_indices(indices)
        most -= len(classes[as_text(name)])
        if most < 0:  # many names may share one list
            raise ValueError("more indices than images")
    return classes


def _labelled(labels: Any, label_of: Any) -> dict[str, NDArray[np.int64]]:
    """The images of each class that has some; many names may share a label, which gives one of them all its images."""
    values = as_indices(labels)
    order = np.argsort(values, kind="stable")
    found, starts = np.unique(values[order], return_index=True)
    rows = dict(zip(found.tolist(), np.split(order, starts[1:]), strict=True))
    return {as_text(name): rows.pop(label) for name, label in label_of.items() if label in rows}
