"""Classify a user's own images with a trained net, from a few examples of each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leakysm.data.class_folders import class_folders
from leakysm.data.dataset import Report
from leakysm.data.images import to_input_format
from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError
from leakysm.ops import log_softmax
from leakysm.runs import Restored
from leakysm.training.closeness import support_spread
from leakysm.training.evaluation import finite_distances

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Candidate:
    """A class that an image may belong to.

    probability: softmax over the negative distances to all prototypes, times the run's learned scale if it has one; so
    some class always has a high one. distance: to the class's prototype. spreads: the distance in units of the
    support's spread, as `leakysm.training.closeness` defines it; None if that is 0.
    """

    name: str
    probability: float
    distance: float
    spreads: float | None


def read_support(inputs: InputFormat, folder: Path, report: Report | None = None) -> dict[str, Images]:
    """Images (shots, H, W, C) by class, from a folder in any layout that the data set `folder` reads, splits included.

    report(done, total) is called as they are read. UserError unless there are two classes or more.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; expected a folder for each class, with examples: <class>/<image>")
    found = class_folders(folder)
    files = {label: names for classes in found.files.values() for label, names in classes.items()}
    if len(files) < 2:
        raise UserError(
            f"{folder} holds {len(files)} class folder(s); two or more are expected: add one, <class>/<image>"
        )
    done, total = count(1), sum(map(len, files.values()))

    def read(name: str) -> Images:
        image = to_input_format(found.source.read(name), str(found.source.path / name), inputs)
        if report:
            report(next(done), total)
        return image

    return {label: np.stack([read(name) for name in names]) for label, names in files.items()}


def predict(run: Restored, support: Mapping[str, Images], queries: Images, norm: str) -> list[list[Candidate]]:
    """Rank all classes for each query, the nearest first.

    support: images (shots, H, W, C) by class. queries (n, H, W, C). norm: whether batch norm uses its "running"
    statistics, or those of this "episode", support and queries together.

    CheckFailed if an embedding is not finite.
    """
    z = run.embed(np.concatenate([*support.values(), queries]), norm)
    labels = np.repeat(np.arange(len(support)), [len(images) for images in support.values()])
    engine, metric = run.net.engine, run.config.metric
    distances = finite_distances(engine, metric, z, labels, len(support))
    probabilities = np.exp(log_softmax(-run.scale * distances))
    names, spread = list(support), support_spread(engine, metric, z[: len(labels)], labels, len(support))
    return [
        [
            Candidate(names[k], float(p[k]), float(d[k]), float(d[k] / spread) if spread > 0 else None)
            for k in np.argsort(d, kind="stable")
        ]
        for d, p in zip(distances, probabilities, strict=True)
    ]
