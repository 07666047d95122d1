"""A data set, as every loader returns it: splits of images sorted by class."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError, require_kind, suggestion

Images = NDArray[np.uint8]
Report = Callable[[int, int], None]  # called with (done, total) during the work
USUAL_SPLITS = ("train", "val", "test")
_ALSO_CALLED = {"valid": "val", "validation": "val"}


def split_named(name: str) -> str | None:
    """The split that a name means: train for "Train" and "meta-train", val for "valid". None for other names."""
    name = name.lower().removeprefix("meta-").removeprefix("meta_")
    return _ALSO_CALLED.get(name, name if name in USUAL_SPLITS else None)


def same_class(name: str) -> str:
    """A class's name in its one form: no blanks at the ends, and Unicode's composed form (NFC).

    File systems and editors write the same letters in several ways: e and an accent, or one letter for both.
    """
    return unicodedata.normalize("NFC", name).strip()


def refuse_shared(kind: str, by_split: Mapping[str, Iterable[str]], files: Mapping[str, Path]) -> None:
    """UserError if two splits share a name. kind: what is named, "class" or "image". files: each split's list."""
    split_of: dict[str, str] = {}
    for split, names in by_split.items():
        for name in names:
            if split_of.setdefault(name, split) != split:
                raise UserError(
                    f"{files[split]} has the {kind} {name}, which {files[split_of[name]].name} has too; "
                    f"few-shot splits share no {kind}: leave it out of one"
                )


def starts_of(counts: Iterable[int]) -> NDArray[np.int64]:
    """Offsets (n_classes + 1,) of classes with these numbers of images, one after another."""
    return np.cumsum([0, *counts], dtype=np.int64)


@dataclass(frozen=True)
class ClassSet:
    """One split: images (n, H, W, C) uint8 sorted by class, starts (n_classes + 1,) int64, one name a class.

    The images of class k are `images[starts[k]:starts[k + 1]]`. Both arrays are read-only.
    """

    images: Images
    starts: NDArray[np.int64]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        images, starts = self.images, self.starts
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(f"images: {images.dtype} of shape {images.shape}, expected uint8 (n, H, W, C)")
        if starts.dtype != np.int64 or starts.shape != (len(self.names) + 1,):
            raise ValueError(f"starts: {starts.dtype} of shape {starts.shape}, expected int64 ({len(self.names) + 1},)")
        if starts[0] != 0 or starts[-1] != len(images) or (np.diff(starts) < 1).any():
            raise ValueError("starts: expected to rise from 0 to the number of images, at least one image a class")
        images.flags.writeable = False
        starts.flags.writeable = False

    @property
    def n_classes(self) -> int:
        return len(self.names)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Images of each class (n_classes,)."""
        return np.diff(self.starts)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each image (n,)."""
        return np.repeat(np.arange(self.n_classes), self.counts)

    def take(self, classes: NDArray[np.int64]) -> ClassSet:
        """The given classes alone, in the given order."""
        counts = self.counts[classes]
        starts = starts_of(counts)
        rows = np.repeat(self.starts[classes] - starts[:-1], counts) + np.arange(starts[-1])
        return ClassSet(self.images[rows], starts, tuple(self.names[k] for k in classes))

    def slice(self, first: int, last: int) -> ClassSet:
        """Classes first to last - 1, without a copy of their images."""
        start, stop = self.starts[[first, last]]
        starts = self.starts[first : last + 1] - start
        return ClassSet(self.images[start:stop], starts, self.names[first:last])


@dataclass(frozen=True)
class Dataset:
    """Images in splits. `splits`: images by split. `inputs`: how pixels become a net's input. `digest`: a SHA-256.

    `folder`: the user's folder, if it has folders for the splits. `own`: whether it was made from arrays. `divided`:
    whether leakysm divided the classes among the splits.

    Examples
    --------
    >>> images, labels = np.zeros((4, 28, 28), np.uint8), ["a", "a", "b", "b"]
    >>> data = lk.Dataset.from_arrays(images, labels, splits={"train": ["a"], "test": ["b"]})
    >>> data.split("test").images.shape
    (2, 28, 28, 1)
    """

    name: str
    splits: dict[str, ClassSet]
    inputs: InputFormat
    digest: str
    folder: Path | None = None
    own: bool = False
    divided: bool = False

    @classmethod
    def from_arrays(
        cls, images: Images, labels: Any, *, splits: Mapping[str, Iterable[Any]], name: str = "arrays"
    ) -> Dataset:
        """One's own images. Their pixels are scaled by mean and deviation of the training split.

        images (n, H, W) or (n, H, W, C) uint8. labels (n,): the class of each image, numbers or texts. splits: the
        classes of each split, {"train": ..., "test": ...} and perhaps "val"; no class is in two. UserError if arrays
        and splits do not fit one another, or a split has another name.
        """
        images, labels = _checked_arrays(images, np.asarray(labels), name)
        by_split = _by_split(splits)
        same = np.array([_meant(one) for one in labels.tolist()], str) if labels.dtype.kind == "U" else labels
        split_of = {_meant(one): split for split, classes in by_split.items() for one in classes}
        sets: dict[str, ClassSet] = {}
        for split, classes in by_split.items():
            meant = [_meant(one) for one in classes]
            if shared := [k for k, one in enumerate(meant) if split_of[one] != split or one in meant[:k]]:
                one = classes[shared[0]]
                raise UserError(f"the class {one!r} is in {split} and in {split_of[_meant(one)]}; leave one out")
            of_class = [images[same == one] for one in meant]
            if empty := [one for one, found in zip(classes, of_class, strict=True) if not len(found)]:
                known = ", ".join(repr(_as_label(one)) for one in np.unique(labels)[:5])
                raise UserError(
                    f"{split} has the class {empty[0]!r}, of which there is no image; labels are {known or 'none'}"
                    f"{', ...' if len(np.unique(labels)) > 5 else ''}: give classes among them"
                )
            if not of_class:
                raise UserError(f"{split} has no class; give it some, or leave it out")
            sets[split] = in_class_order(of_class, [str(one) for one in classes])
        if "train" not in sets:
            raise UserError(f"splits are {', '.join(sets) or 'empty'}; 'train' and 'test' are expected: name them")
        return replace(normalised(name, sets, splits_digest(sets)), own=True)

    def __post_init__(self) -> None:
        for name, one in self.splits.items():
            if one.images.shape[1:] != self.inputs.image_shape:
                raise ValueError(f"{name}: images {one.images.shape[1:]}, expected {self.inputs.image_shape}")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C), the same in every split."""
        return self.inputs.image_shape

    def split(self, name: str) -> ClassSet:
        """The split of that name. UserError if the data set has none."""
        if name not in self.splits and self.folder and name in USUAL_SPLITS:
            raise UserError(
                f"{self.folder} has no split '{name}', only {', '.join(self.splits)}; "
                f"add {self.folder / name} with a folder for each class"
            )
        if name not in self.splits and self.own and name in USUAL_SPLITS:
            raise UserError(f"{self.name} has no split '{name}'; give classes for '{name}' in splits")
        if name not in self.splits:
            raise UserError(f"{self.name} has no split '{name}'; {suggestion(name, self.splits)}")
        return self.splits[name]


def _checked_arrays(images: Any, labels: NDArray[Any], name: str) -> tuple[Images, NDArray[Any]]:
    """Images (n, H, W, C) uint8 and labels (n,). UserError if they are not, or the name could not be stored."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        floats = (
            " (of numbers from 0 to 1: numpy.rint(255 * images).astype('uint8'))" if images.dtype.kind == "f" else ""
        )
        raise UserError(
            f"images are {images.dtype} of shape {images.shape}; uint8 (n, H, W) or (n, H, W, C) is expected: "
            f"convert them{floats}"
        )
    images = images[..., np.newaxis] if images.ndim == 3 else images
    if images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        raise UserError(
            f"images have shape {images.shape}, which looks like (n, C, H, W); (n, H, W, C) is expected: "
            "numpy.moveaxis(images, 1, -1)"
        )
    if labels.shape != (len(images),):
        raise UserError(f"labels have shape {labels.shape}; ({len(images)},) is expected, one for each image")
    if not (isinstance(name, str) and re.fullmatch(r"[\w .+-]+", name)):
        raise UserError(f"name is {name!r}; letters, digits, spaces and . + - are expected: choose another")
    return images, labels


def _by_split(splits: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
    """The classes of each split by its usual name. UserError for an unknown name, or two of one split."""
    require_kind("splits", splits, Mapping, 'a dictionary {"train": classes, "test": classes} is expected: give one')
    found: dict[str, list[Any]] = {}
    for name, classes in splits.items():
        require_kind(f"splits[{name!r}]", classes, Iterable, "a list of classes is expected: give one")
        split = split_named(str(name))
        if split is None:
            raise UserError(f"splits has the unknown name {name!r}; {suggestion(str(name).lower(), USUAL_SPLITS)}")
        if split in found:
            raise UserError(f"splits names {split} twice, once as {name!r}; leave one out")
        found[split] = [_as_label(one) for one in classes]
    return found


def _as_label(value: Any) -> Any:
    """A label as a plain value of Python, whose text does not depend on the array that it came from."""
    return value.item() if isinstance(value, np.generic) else value


def _meant(label: Any) -> Any:
    """A label in one form, whichever way its name is written."""
    return same_class(label) if isinstance(label, str) else label


def in_class_order(images: list[Images], names: list[str]) -> ClassSet:
    """A split from one image array (n_k, H, W, C) for each class."""
    return ClassSet(np.concatenate(images), starts_of(map(len, images)), tuple(names))


def normalised(name: str, splits: dict[str, ClassSet], digest: str) -> Dataset:
    """Pixels scaled by mean and deviation of the training split, or of the first split where there is none."""
    basis = splits.get("train") or next(iter(splits.values()))
    return Dataset(name, splits, InputFormat.normalising(basis.images), digest)


def digest_of(*parts: str) -> str:
    """SHA-256 of a list of strings."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode(errors="surrogateescape")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def splits_digest(splits: Mapping[str, ClassSet]) -> str:
    """SHA-256 of names, shapes and pixels; their source does not matter."""
    digest = hashlib.sha256()
    for name in sorted(splits):
        one = splits[name]
        digest.update(digest_of(name, *one.names, str(one.images.shape)).encode())
        digest.update(one.starts.astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(one.images).data)
    return digest.hexdigest()
