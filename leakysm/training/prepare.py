"""From what a user gave to a whole configuration and its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from leakysm.data import Dataset, load
from leakysm.ops.metrics import metric_named
from leakysm.training.config import METRIC_PARAMETERS, TrainConfig
from leakysm.training.defaults import fit, with_defaults
from leakysm.training.device import choose
from leakysm.training.run_folder import RunFolder


def prepare(
    given: Mapping[str, Any], folder: RunFolder | None = None, report: Callable[[int, int], None] | None = None
) -> tuple[TrainConfig, Dataset]:
    """The configuration and the loaded data of a run with the given settings (by TrainConfig's names, None: not given).

    If `folder` holds a run its settings are the configuration, and UserError if a given one is another. device may be
    "auto", "cuda" and so on. report(done, total) hears of images being read. UserError for whatever does not fit.
    """
    stored = folder.stored_config() if folder else None
    defaulted = with_defaults(given)
    defaulted["device"], defaulted["backend"] = choose(defaulted.get("device"), defaulted.get("backend"))
    if folder and stored:
        folder.refuse_another(stored, {key: defaulted[key] for key, value in given.items() if value is not None})
        return stored, load_data(stored.settings(), report)
    metric_named(defaulted["distance"], **{k: defaulted[k] for k in METRIC_PARAMETERS if k in defaulted})
    data = load_data(defaulted, report)
    return fit(defaulted, data), data


def load_data(settings: Mapping[str, Any], report: Callable[[int, int], None] | None = None) -> Dataset:
    """The data set that the settings name. The same for every seed of training: runs that differ in it compare."""
    split = {"split": settings["split"]} if "split" in settings else {}
    return load(settings["dataset"], settings.get("data"), **split, report=report)
