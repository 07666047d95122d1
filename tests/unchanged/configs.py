"""The bytes of config.toml: what was given, and the defaults that come with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from leakysm.data import ClassSet, Dataset
from leakysm.data.inputs import InputFormat
from leakysm.runs.defaults import fit, with_defaults
from tests.unchanged.looked import Looked

CPU = {"device": "cpu", "backend": "numpy"}
GIVEN: dict[str, dict[str, Any]] = {
    "nothing": {},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1, "halve_every": 0, "distance": "euclidean", "seed": 7},
    "leaky per coordinate": {"threshold": 0.5, "slope": 1, "per": "coordinate", "norm": "episode"},
    "no threshold": {"threshold": float("inf"), "slope": 1e-5, "episodes": 1, "backend": "reference"},
    "omniglot": {"dataset": "omniglot", "data": "/data/omniglot"},
    "omniglot, 5-shot": {
        "dataset": "omniglot", "data": "/data/omniglot", "split": "vinyals", "shot": 5, "distance": "cosine",
        "test_way": (20, 5), "test_shot": 1, "test_query": 1, "test_episodes": 2, "checkpoint_every": 500,
    },
    "miniimagenet": {"dataset": "miniimagenet", "data": "/data/mini/images.zip", "distance": "squared-euclidean"},
    "miniimagenet, 5-shot": {"dataset": "miniimagenet", "data": "/data/mini", "shot": 5, "norm": "episode"},
    "caltech101": {"dataset": "caltech101", "data": "/data/caltech101", "threads": 2, "way": 10, "query": 3},
    "folder": {"dataset": "folder", "data": '/data/"pictures" \\ B\u00fccher', "distance": "leaky"},
    "GPU": {"device": "cuda:1", "backend": "cupy", "tf32": True, "threshold": 0, "slope": 0.3},
}  # fmt: skip
FEW = {"dataset": "folder", "data": "/data/few"}  # of a folder with 3 classes of 4 pictures


def look(_: Path) -> Looked:
    """config.toml by what was given."""
    many = {name: _toml(given, classes=64, pictures=20) for name, given in GIVEN.items()}
    return Looked({**many, "few pictures": _toml(FEW, classes=3, pictures=4)})


def _toml(given: dict[str, Any], *, classes: int, pictures: int) -> str:
    settings = with_defaults({**CPU, **given})
    return fit(settings, _stand_in(settings["dataset"], classes, pictures)).to_toml()


def _stand_in(name: str, classes: int, pictures: int) -> Dataset:
    """A data set with as many classes and pictures, of one black pixel each."""

    def split(part: str) -> ClassSet:
        starts = np.arange(classes + 1, dtype=np.int64) * pictures
        names = tuple(f"{part}{k}" for k in range(classes))
        return ClassSet(np.zeros((classes * pictures, 1, 1, 1), np.uint8), starts, names)

    splits = {part: split(part) for part in ("train", "test")}
    return Dataset(name, splits, InputFormat.unscaled((1, 1, 1)), "")


ITEMS = {"config": look}
