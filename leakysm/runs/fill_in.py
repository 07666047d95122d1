"""Fill in the settings that a user left out.

The defaults themselves stand in leakysm/choices.py. Here they are lowered to what the data set's classes allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from leakysm.choices import DATASET_DEFAULTS, FITTED, METRIC_PARAMETERS, SETTINGS, USUAL
from leakysm.data import ClassSet, Dataset
from leakysm.episodes import check_episode, require_classes
from leakysm.errors import UserError
from leakysm.files import expanded, printable
from leakysm.ops.formula_file import FormulaFile, is_own, split, without_folder
from leakysm.ops.metrics import Metric, completed, distance_named
from leakysm.ops.restriction import Restriction
from leakysm.runs.settings import TrainConfig, checked


def with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Given settings, checked, and every default that needs no look at the data. None counts as not given.

    The text of a formula's file is added as `own`, unless this text or the metric object is given already.
    """
    own = {"own": given["own"]} if given.get("own") else {}
    given = without_usual(checked({key: value for key, value in given.items() if key != "own"}))
    dataset = given.get("dataset", SETTINGS["dataset"].default)
    defaults = {key: value for key, value in _defaults(dataset).items() if key not in FITTED}
    settings = with_distance({**defaults, **given, **own})
    refuse_split(settings)
    if "data" in settings:
        settings["data"] = absolute(settings["data"])
    return settings


def refuse_split(settings: Mapping[str, Any]) -> None:
    """UserError if a split is given for a data set that has no choice of splits."""
    if settings.get("split") is not None and settings["dataset"] != "omniglot":
        raise UserError(f"split is given, but {settings['dataset']} has no choice of splits; leave it out")


def with_distance(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Checked settings with every parameter of their distance, and, for a distance FILE.py:CLASS, the file's text.

    UserError for a parameter that it does not have, or that is missing.
    """
    settings = dict(settings)
    name, parameters = settings["distance"], dict(settings.pop("set", ()))
    if isinstance(settings.get("own"), Metric):
        return settings | ({"set": tuple(parameters.items())} if parameters else {})
    if is_own(name):
        settings = _with_code(settings)
    elif "formula" in settings:
        raise UserError(f"formula is given, but the distance is {name}; leave it out")
    code = settings.get("own")
    if name == "leaky":
        if twice := next((key for key in parameters if key in settings), None):
            raise UserError(f"{twice} is given twice; leave one out")
        return {**completed(name, parameters), **settings}
    _refuse_those_of_leaky(settings)
    per = {"per": settings["per"]} if "per" in settings else {}  # a parameter of the metric, but a setting of its own
    parameters = completed(name, parameters | per, code)
    if issubclass(distance_named(name, code), Restriction):
        settings["per"] = parameters.pop("per")
    else:
        settings.pop("per", None)
    parameters = {key: value for key, value in parameters.items() if value is not None}  # None is filled in again
    return settings | ({"set": tuple(parameters.items())} if parameters else {})


def _refuse_those_of_leaky(settings: Mapping[str, Any]) -> None:
    """UserError if threshold or slope is given as a setting of its own, as for leaky alone."""
    name = settings["distance"]
    for key in ("threshold", "slope"):
        if key in settings:
            has = key in {field.name for field in fields(distance_named(name, settings.get("own")))}
            mend = f"write --set {key}={settings[key]:g}" if has else "leave it out, or choose leaky"
            raise UserError(f"{key} is given, but the distance is {name}; {mend}")


def under_distance(config: TrainConfig, given: Mapping[str, Any]) -> TrainConfig:
    """The configuration with another distance, named by its settings, in place of its own. UserError if it is wrong."""
    named = with_distance(checked({key: value for key, value in given.items() if value}))
    without: dict[str, Any] = dict.fromkeys((*METRIC_PARAMETERS, "formula", "learn_scale", "own"))
    return replace(config, **without | named)


def _with_code(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with the text of the formula's file, its digest, and its name without a folder."""
    distance = settings["distance"]
    code = settings.get("own") or FormulaFile.read(split(distance)[0])
    if settings.get("formula", code.digest) != code.digest:
        raise UserError(
            f"{printable(code.path)} has the SHA-256 {code.digest[:12]}..., but the formula to use has "
            f"{settings['formula'][:12]}...; give the original file"
        )
    return {**settings, "distance": without_folder(distance), "formula": code.digest, "own": code}


def without_usual(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that differ from USUAL, which config.toml leaves out."""
    return {key: value for key, value in settings.items() if USUAL.get(key) != value}


def absolute(place: str) -> str:
    """The path of the data in the form that a configuration holds."""
    return str(expanded(place).absolute())


def fit(settings: Mapping[str, Any], data: Dataset) -> TrainConfig:
    """The whole configuration: what was left open is chosen so that the data's classes are enough.

    UserError if a given way, shot or query asks for more than there is, in training or in the test.
    """
    train, test = data.split("train"), data.split("test")
    for name, classes in data.splits.items():
        require_classes(classes.starts, name)
    wanted, shot = _wanted(settings["dataset"], settings["shot"]), settings["shot"]
    test_shot = settings.get("test_shot", shot)
    chosen = {
        "way": min(wanted["way"], train.n_classes),
        "query": _queries(wanted["query"], train, shot),
        "test_way": tuple(w for w in wanted["test_way"] if w <= test.n_classes) or (test.n_classes,),
        "test_shot": test_shot,
        "test_query": _queries(wanted["test_query"], test, test_shot),
    }
    config = TrainConfig(**chosen | dict(settings))
    if config.slope is not None and np.float32(config.slope) == 0:
        raise UserError(f"slope is {config.slope:g}, which is 0 in float32, as nets are trained; give 1e-37 or more")
    check_episode(train.starts, config.way, config.shot, config.query, split="train", names=train.names)
    for way in config.test_way:
        check_episode(
            test.starts, way, config.test_shot, config.test_query, split="test", names=test.names, prefix="test_"
        )
    return config


def lowered(given: Mapping[str, Any], config: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Settings that were not given, and that `fit` lowered: their defaults, and their values."""
    values = {key: (wanted, getattr(config, key)) for key, wanted in _wanted(config.dataset, config.shot).items()}
    return {key: pair for key, pair in values.items() if given.get(key) is None and pair[0] != pair[1]}


def _wanted(dataset: str, shot: int) -> dict[str, Any]:
    """The defaults that depend on the data's classes, for data with enough of them."""
    defaults = _defaults(dataset)
    # with several shots, Snell et al. train on 20 classes of miniImageNet, but on 60 of Omniglot as with one
    way = SETTINGS["way"].default if shot > 1 and dataset != "omniglot" else defaults["way"]
    return {"way": way, **{key: defaults[key] for key in ("query", "test_way", "test_query")}}


def _defaults(dataset: str) -> dict[str, Any]:
    """The defaults of settings on this data set, before a look at it."""
    general = {key: setting.default for key, setting in SETTINGS.items() if setting.default is not None}
    return general | DATASET_DEFAULTS.get(dataset, DATASET_DEFAULTS["folder"])


def _queries(wanted: int, classes: ClassSet, shot: int) -> int:
    """The wanted number of queries, or what the smallest class leaves beside the support images: at least 1."""
    return max(1, min(wanted, int(classes.counts.min()) - shot))
