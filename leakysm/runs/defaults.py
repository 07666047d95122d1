"""The settings of a run that nobody gave: by data set, and by what its classes allow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leakysm.data import ClassSet, Dataset
from leakysm.episodes import check_episode
from leakysm.errors import UserError
from leakysm.runs.settings import METRIC_PARAMETERS, TrainConfig, checked

GENERAL: dict[str, Any] = {
    "dataset": "strokes",
    "shot": 1,
    "test_episodes": 1000,
    "distance": "leaky",
    "norm": "running",
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "halve_every": 2000,
    "seed": 0,
    "checkpoint_every": 200,
}
BY_DATASET: dict[str, dict[str, Any]] = {
    "strokes": {"episodes": 300, "halve_every": 150, "checkpoint_every": 100},
    "omniglot": {"episodes": 10_000, "split": "lake"},
    "miniimagenet": {"episodes": 10_000, "test_episodes": 600},
    "caltech101": {"episodes": 10_000, "test_episodes": 600},
    "folder": {"episodes": 1000},
}
LEAKY: dict[str, Any] = {"threshold": 1.0, "slope": 0.03, "per": "pair"}
# Of an episode, as far as the classes suffice; of the published sets by Snell et al. 2017, sections 3.1 and 3.2.
WAYS = {"omniglot": 60, "miniimagenet": 30, "caltech101": 30}
QUERIES = {"miniimagenet": 15, "caltech101": 15}
WAY, QUERY, TEST_WAYS, TEST_QUERY = 20, 5, (5, 20), 15


def with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Given settings, checked, and every default that needs no look at the data. None counts as not given."""
    given = {key: checked(key, value) for key, value in given.items() if value is not None}
    dataset = given.get("dataset", GENERAL["dataset"])
    settings = {**GENERAL, **BY_DATASET[dataset], **given}
    if settings["distance"] == "leaky":
        settings = {**LEAKY, **settings}
    for key in METRIC_PARAMETERS:
        if key in settings and settings["distance"] != "leaky":
            raise UserError(
                f"{key} is given, but the distance is {settings['distance']}; leave it out, or choose leaky"
            )
    if "split" in settings and dataset != "omniglot":
        raise UserError(f"split is given, but {dataset} has no choice of splits; leave it out")
    if "data" in settings:
        settings["data"] = absolute(settings["data"])
    return settings


def absolute(place: str) -> str:
    """As a configuration writes the data's place."""
    return str(Path(place).expanduser().absolute())


def fit(settings: Mapping[str, Any], data: Dataset) -> TrainConfig:
    """The whole configuration: what was left open is chosen so that the data's classes suffice.

    UserError if a given way, shot or query asks for more than there is, in training or in the test.
    """
    train, test = data.split("train"), data.split("test")
    name, shot = settings["dataset"], settings["shot"]
    test_shot = settings.get("test_shot", shot)
    way = WAY if shot > 1 and name != "omniglot" else WAYS.get(name, WAY)
    chosen = {
        "way": min(way, train.n_classes),
        "query": _fewest(QUERIES.get(name, QUERY), train, shot),
        "test_way": tuple(w for w in TEST_WAYS if w <= test.n_classes) or (test.n_classes,),
        "test_shot": test_shot,
        "test_query": _fewest(TEST_QUERY, test, test_shot),
    }
    config = TrainConfig(**chosen | dict(settings))
    check_episode(train.starts, config.way, config.shot, config.query, split="train")
    for way in config.test_way:
        check_episode(test.starts, way, config.test_shot, config.test_query, split="test")
    return config


def _fewest(query: int, classes: ClassSet, shot: int) -> int:
    """That many queries, or what the smallest class leaves beside the support images: at least 1."""
    return max(1, min(query, int(classes.counts.min()) - shot))
