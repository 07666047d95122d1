"""Classify one's own images with a trained net, from a few examples a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakysm.data.images import SUFFIXES, as_net_takes_it, read_for_net
from leakysm.data.sources import FolderSource
from leakysm.errors import CheckFailed, UserError
from leakysm.ops import log_softmax
from leakysm.runs import Restored
from leakysm.training.evaluation import prototype_distances

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Ranked:
    """A class as an image's candidate. probability: softmax over the negative distances to all prototypes."""

    name: str
    probability: float
    distance: float


@dataclass(frozen=True)
class Reader:
    """Image files as a net takes them: its channels, its size (bilinear, whatever the proportions), its ink."""

    shape: tuple[int, int, int]
    ink: bool

    @classmethod
    def of(cls, inputs: Mapping[str, NDArray[Any]]) -> Reader:
        """inputs: a checkpoint's."""
        height, width, channels = (int(n) for n in inputs["image_shape"])
        return cls((height, width, channels), bool(inputs["ink"]))

    def read(self, data: bytes, where: str) -> Images:
        """(H, W, C). UserError, naming `where`, if it is no still 8-bit image."""
        return as_net_takes_it(data, where, image_shape=self.shape, ink=self.ink)


def read_support(reader: Reader, folder: Path) -> dict[str, Images]:
    """Classes by name, (shots, H, W, C) each, from `folder`/<class>/<image>. UserError unless there are two or more."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; expected one folder a class, with its examples: <class>/<image>")
    source = FolderSource(folder)
    for empty in source.empty_folders:
        raise UserError(f"{folder / empty} is an empty folder; put examples in it, or remove it")
    classes: dict[str, list[Images]] = {}
    for name in source.names:
        *folders, file = name.split("/")
        if len(folders) != 1 or not file.lower().endswith(SUFFIXES):
            raise UserError(f"{folder}: {name} is no example of a class; expected <class>/<image> and nothing else")
        classes.setdefault(folders[0], []).append(reader.read(source.read(name), str(folder / name)))
    if len(classes) < 2:
        raise UserError(f"{folder} holds {len(classes)} class; expected two or more, a folder each")
    return {name: np.stack(images) for name, images in classes.items()}


def read_queries(reader: Reader, paths: Sequence[Path]) -> Images:
    """(n, H, W, C). UserError if one is not there, or no image."""
    return read_for_net(paths, image_shape=reader.shape, ink=reader.ink)


def predict(run: Restored, support: Mapping[str, Images], queries: Images, norm: str) -> list[list[Ranked]]:
    """For each query all classes, the nearest first. norm "episode": support and queries are normalised together.

    CheckFailed if an embedding is not finite.
    """
    z = run.embed(np.concatenate([*support.values(), queries]), norm)
    labels = np.repeat(np.arange(len(support)), [len(images) for images in support.values()])
    distances = prototype_distances(run.net.engine, run.config.metric, z, labels, len(support)).astype(np.float64)
    if not np.isfinite(distances).all():
        raise CheckFailed("the net's embeddings are not finite; use a checkpoint from before training went wrong")
    probabilities = np.exp(log_softmax(-distances))
    names = list(support)
    return [
        [Ranked(names[k], float(p[k]), float(d[k])) for k in np.argsort(d, kind="stable")]
        for d, p in zip(distances, probabilities, strict=True)
    ]
