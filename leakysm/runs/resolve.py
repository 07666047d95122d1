"""From what a user gave to a whole configuration and its data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from leakysm.data import Dataset, load
from leakysm.errors import UserError
from leakysm.runs.defaults import absolute, fit, with_defaults
from leakysm.runs.device import choose
from leakysm.runs.folder import FREE, RunFolder
from leakysm.runs.settings import METRIC_PARAMETERS, TrainConfig, checked, metric_of


def prepare(
    given: Mapping[str, Any], folder: RunFolder | None = None, report: Callable[[int, int], None] | None = None
) -> tuple[TrainConfig, Dataset]:
    """The configuration and the loaded data of a run with the given settings (by TrainConfig's names, None: not given).

    If `folder` holds a run its settings are the configuration, and UserError if a given one is another: only threads
    and the data's place may be. device may be "auto", "cuda" and so on. report(done, total) hears of images being
    read. UserError for whatever does not fit.
    """
    stored = folder.stored_config() if folder else None
    if folder and stored:
        named = _named(given)
        folder.refuse_another(stored, named)
        config = replace(stored, **{key: named[key] for key in FREE if key in named})
        return config, load_data(config.settings(), report)
    defaulted = with_defaults(given)
    defaulted["device"], defaulted["backend"] = choose(defaulted.get("device"), defaulted.get("backend"))
    metric_of(defaulted)  # a bad parameter is told before the data are read
    data = load_data(defaulted, report)
    return fit(defaulted, data), data


def to_resume(given: Mapping[str, Any], folders: Iterable[Path]) -> RunFolder:
    """The newest of these runs that is not finished and goes with the given settings. UserError if there is none."""
    named = _named(given)
    found: list[tuple[int, str, RunFolder]] = []
    for path in folders:
        folder = RunFolder(path)
        try:
            stored = None if folder.summary.exists() else folder.stored_config()
            if stored:
                folder.refuse_another(stored, named)
                found.append((folder.config.stat().st_mtime_ns, str(path), folder))
        except UserError:
            continue  # another run, or a damaged one
    if not found:
        raise UserError(
            "--resume is given without --out, and runs holds no unfinished run with these settings; name the folder "
            "of the run to go on with"
        )
    return max(found, key=lambda run: run[:2])[2]


def under_options(file: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A file's settings and the options that win over them: what belongs to a choice of the file goes with it."""
    gone: set[str] = set()
    if options.get("distance", "leaky") != "leaky":
        gone |= set(METRIC_PARAMETERS)
    if "dataset" in options and options["dataset"] != file.get("dataset", "strokes"):
        gone |= {"data", "split"}
    for key, other in (("device", "backend"), ("backend", "device")):
        if key in options and other in file and not _together({**file, **options}):
            gone |= {other}
    return {key: value for key, value in file.items() if key not in gone} | dict(options)


def load_data(settings: Mapping[str, Any], report: Callable[[int, int], None] | None = None) -> Dataset:
    """The data set that the settings name. The same for every seed of training: runs that differ in it compare."""
    split = {"split": settings["split"]} if "split" in settings else {}
    return load(settings["dataset"], settings.get("data"), **split, report=report)


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, checked, as a configuration writes it."""
    named = {key: checked(key, value) for key, value in given.items() if value is not None}
    if "data" in named:
        named["data"] = absolute(named["data"])
    if "device" in named or "backend" in named:
        chosen = dict(zip(("device", "backend"), choose(named.get("device"), named.get("backend")), strict=True))
        named |= {key: value for key, value in chosen.items() if key in named}
    return named


def _together(settings: Mapping[str, Any]) -> bool:
    device = settings["device"]
    return bool(device == "auto" or (settings["backend"] == "cupy") == (device != "cpu"))
