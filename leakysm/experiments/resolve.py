"""From what a user gives to whole configurations, one a setting, and the data they share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from leakysm.data import Dataset
from leakysm.errors import UserError
from leakysm.experiments.settings import Setting
from leakysm.runs.defaults import fit, with_defaults
from leakysm.runs.device import choose
from leakysm.runs.resolve import load_data
from leakysm.runs.settings import TrainConfig

Report = Callable[[int, int], None]


def load_for(given: Mapping[str, Any], report: Report | None = None) -> Dataset:
    """The data set that the given settings name. UserError for whatever is amiss."""
    return load_data(with_defaults({key: given.get(key) for key in ("dataset", "data", "split")}), report)


def configurations(given: Mapping[str, Any], settings: Mapping[str, Setting], data: Dataset) -> dict[str, TrainConfig]:
    """A whole configuration for each setting by label: alike in everything but the setting's own keys.

    UserError if two settings come to the same, one of them by a default that it spells out.
    """
    device, backend_name = choose(given.get("device"), given.get("backend"))
    common = {**given, "device": device, "backend": backend_name}
    found = {label: fit(with_defaults({**common, **setting}), data) for label, setting in settings.items()}
    for (label, config), (other, same) in itertools.combinations(found.items(), 2):
        if config == same:
            raise UserError(f"the settings {label} and {other} are the same run; leave one out")
    return found
