"""Fill in the settings that a user left out.

The defaults themselves stand in leakysm/choices.py. Here they are lowered to what the data set's classes allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leakysm.choices import DATASET_DEFAULTS, FITTED, LEAKY, METRIC_PARAMETERS, SETTINGS
from leakysm.data import ClassSet, Dataset
from leakysm.episodes import check_episode
from leakysm.errors import UserError
from leakysm.files import expanded
from leakysm.runs.settings import TrainConfig, checked


def with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Given settings, checked, and every default that needs no look at the data. None counts as not given."""
    given = checked(given)
    dataset = given.get("dataset", SETTINGS["dataset"].default)
    defaults = {key: value for key, value in _defaults(dataset).items() if key not in FITTED}
    settings = {**defaults, **given}
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
    """The path of the data in the form that a configuration holds."""
    return str(expanded(place).absolute())


def fit(settings: Mapping[str, Any], data: Dataset) -> TrainConfig:
    """The whole configuration: what was left open is chosen so that the data's classes are enough.

    UserError if a given way, shot or query asks for more than there is, in training or in the test.
    """
    train, test = data.split("train"), data.split("test")
    defaults, shot = _defaults(settings["dataset"]), settings["shot"]
    test_shot = settings.get("test_shot", shot)
    # with several shots, Snell et al. train on 20 classes of miniImageNet, but on 60 of Omniglot as with one
    way = SETTINGS["way"].default if shot > 1 and settings["dataset"] != "omniglot" else defaults["way"]
    chosen = {
        "way": min(way, train.n_classes),
        "query": _queries(defaults["query"], train, shot),
        "test_way": tuple(w for w in defaults["test_way"] if w <= test.n_classes) or (test.n_classes,),
        "test_shot": test_shot,
        "test_query": _queries(defaults["test_query"], test, test_shot),
    }
    config = TrainConfig(**chosen | dict(settings))
    check_episode(train.starts, config.way, config.shot, config.query, split="train", names=train.names)
    for way in config.test_way:
        check_episode(test.starts, way, config.test_shot, config.test_query, split="test", names=test.names)
    return config


def _defaults(dataset: str) -> dict[str, Any]:
    """The defaults of settings on this data set, before a look at it."""
    general = {key: setting.default for key, setting in SETTINGS.items() if setting.default is not None}
    return general | DATASET_DEFAULTS[dataset]


def _queries(wanted: int, classes: ClassSet, shot: int) -> int:
    """The wanted number of queries, or what the smallest class leaves beside the support images: at least 1."""
    return max(1, min(wanted, int(classes.counts.min()) - shot))
