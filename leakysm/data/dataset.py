"""What every loader returns: splits of images sorted by class, and how pixels become floats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakysm.errors import UserError

Images = NDArray[np.uint8]
Report = Callable[[int, int], None]  # done, of how many
USUAL_SPLITS = ("train", "val", "test")


def refuse_shared(kind: str, by_split: Mapping[str, Iterable[str]], files: Mapping[str, Path], mend: str = "") -> None:
    """UserError if two splits have a class, or an image (`kind`), of one name. files: what tells of each split."""
    seen: dict[str, str] = {}
    for split, names in by_split.items():
        for name in (own := dict.fromkeys(names, split)):
            if name in seen:
                raise UserError(
                    f"{files[split]} has the {kind} {name}, which {files[seen[name]].name} has too; "
                    f"few-shot splits share no {kind}{mend}"
                )
        seen |= own


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
    """Splits by name, the constants of `to_float`, and a digest of all of it (hexadecimal SHA-256).

    `ink`: dark strokes on light paper were stored as 255 - grey, as Omniglot's are. `folder`: where the user sorted the
    splits into folders.
    """

    name: str
    splits: dict[str, ClassSet]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    digest: str
    ink: bool = False
    folder: Path | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C), the same in every split."""
        height, width, channels = next(iter(self.splits.values())).images.shape[1:]
        return height, width, channels

    def split(self, name: str) -> ClassSet:
        """The split of that name. UserError if the data set has none."""
        if name not in self.splits and self.folder and name in USUAL_SPLITS:
            raise UserError(
                f"{self.folder} has no split '{name}', only {', '.join(self.splits)}; "
                f"add {self.folder / name} with a folder for each class"
            )
        if name not in self.splits:
            raise UserError(f"{self.name} has no split '{name}': choose {', '.join(self.splits)}")
        return self.splits[name]

    def to_float(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """(images / 255 - mean) / std in float32, any leading shape, channels last."""
        pixels: NDArray[np.float32] = np.divide(images, np.float32(255), dtype=np.float32)
        if self.mean.any():
            pixels -= self.mean
        if (self.std != 1).any():
            pixels /= self.std
        return pixels


def in_class_order(images: list[Images], names: list[str]) -> ClassSet:
    """A split from one image array (n_k, H, W, C) for each class."""
    return ClassSet(np.concatenate(images), starts_of(map(len, images)), tuple(names))


def normalised(name: str, splits: dict[str, ClassSet], digest: str) -> Dataset:
    """Pixels scaled by mean and deviation of the training split, or of the first split where there is none."""
    basis = splits.get("train") or next(iter(splits.values()))
    return Dataset(name, splits, *channel_moments(basis.images), digest)


def channel_moments(images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and (biased) deviation of each channel of images / 255, both (C,) float32; 1 for a constant channel.

    The sums are exact integers: the same bits on every machine.
    """
    n, height, width, channels = images.shape
    sums = np.zeros((2, height * width * channels), np.int64)
    for start in range(0, n, 256):
        chunk = images[start : start + 256].reshape(-1, height * width * channels)
        sums[0] += chunk.sum(axis=0, dtype=np.uint32)
        sums[1] += np.multiply(chunk, chunk, dtype=np.uint16).sum(axis=0, dtype=np.uint32)
    first, second = (list(map(int, one.reshape(-1, channels).sum(axis=0))) for one in sums)
    count = n * height * width
    mean = [a / count / 255 for a in first]
    std = [(count * b - a * a) ** 0.5 / count / 255 or 1.0 for a, b in zip(first, second, strict=True)]
    return np.array(mean, np.float32), np.array(std, np.float32)
