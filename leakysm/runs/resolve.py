"""Make a complete configuration, and load its data, from the settings that a user gives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from leakysm.choices import METRIC_PARAMETERS, SETTINGS
from leakysm.data import Dataset, load
from leakysm.data.dataset import Report
from leakysm.errors import UserError, require_kind
from leakysm.ops.formula_file import FormulaFile, is_own, split, without_folder
from leakysm.runs.device import choose
from leakysm.runs.fill_in import absolute, fit, refuse_split, with_defaults
from leakysm.runs.folder import FREE, RunFolder
from leakysm.runs.settings import TrainConfig, checked, metric_of

Load = Callable[[Mapping[str, Any]], Dataset]  # settings -> the data set that they name
Choose = Callable[[str | None, str | None], tuple[str, str]]  # device and backend as given -> both in full
DATA_SETTINGS = ("dataset", "data", "split")


def require_data_of(run: Path | str, place: Path | str, digest: str, expected: str) -> None:
    """UserError unless the data in `place` have the digest that is expected, that of the run's data."""
    if digest != expected:
        raise UserError(
            f"{place}: not the data of {run} (checksum {digest[:12]}, expected {expected[:12]}); give the same data "
            "with --data"
        )


def load_data(settings: Mapping[str, Any], report: Report | None = None) -> Dataset:
    """The data set that the settings name. It does not depend on the seed, so runs with different seeds compare.

    report(done, total) is called while images are read. UserError if there are no such data, or a split is given where
    there is no choice.
    """
    refuse_split(settings)
    split = {"split": settings["split"]} if "split" in settings else {}
    return load(settings["dataset"], settings.get("data"), **split, report=report)


class Loader:
    """`load_data` that keeps what it loaded: settings that name the same data share them.

    most: how many data sets to keep, the latest used; None keeps all.
    """

    def __init__(self, report: Report | None = None, *, most: int | None = None) -> None:
        self._report, self._most = report, most
        self._kept: OrderedDict[tuple[str | None, ...], Dataset] = OrderedDict()

    def __call__(self, settings: Mapping[str, Any]) -> Dataset:
        """The data set that the settings name, loaded at the first call."""
        key = tuple(settings.get(name) for name in DATA_SETTINGS)
        if key not in self._kept:
            if self._most and len(self._kept) == self._most:
                self._kept.popitem(last=False)
            self._kept[key] = load_data(settings, self._report)
        self._kept.move_to_end(key)
        return self._kept[key]


def resolve(
    given: Mapping[str, Any],
    *,
    load: Load = load_data,
    choose: Choose = choose,
    folder: RunFolder | None = None,
    trust: bool = False,
) -> tuple[TrainConfig, Dataset]:
    """(configuration, data) of a run with the given settings, by TrainConfig's names. Others have their defaults.

    given: a setting that is None counts as not given. load: reads the data; a `Loader` shares them between runs.
    choose: completes device and backend; the device may be "auto" or "cuda". folder: if it holds a run, its settings
    are the configuration, and only threads and the place of the data may differ. trust: whether the code of that run's
    own formula may run, if the given distance does not name its file. UserError if settings or data do not fit.
    """
    require_kind("given", given, Mapping, "a dictionary of settings is expected: give one, {} for the defaults")
    stored = folder.stored_config(trust=trust) if folder else None
    if folder and stored:
        named = _as_written(given, choose)
        folder.refuse_another(stored, named)
        config = replace(stored, **{key: named[key] for key in (*FREE, "own") if key in named})
        _ = config.metric  # code that is not trusted is reported before the data are read
        return config, load(config.settings())
    settings = with_defaults(given)
    settings["device"], settings["backend"] = choose(settings.get("device"), settings.get("backend"))
    _ = metric_of(settings, settings.get("own"))  # a wrong parameter is reported before the data are read
    data = load(settings)
    return fit(settings, data), data


def to_resume(given: Mapping[str, Any], folders: Iterable[Path]) -> RunFolder:
    """The newest of these runs that is not finished and has the given settings. UserError if there is none."""
    named = _as_written(given, choose)
    fitting: list[tuple[int, str, RunFolder]] = []
    for path in folders:
        folder = RunFolder(path)
        try:
            stored = None if folder.summary.exists() else folder.stored_config()
            if stored:
                folder.refuse_another(stored, named)
                fitting.append((folder.config.stat().st_mtime_ns, str(path), folder))
        except UserError:
            continue  # another run, or a damaged one
    if not fitting:
        raise UserError(
            "--resume is given without --out, and runs holds no unfinished run with these settings; name the folder "
            "of the run to go on with"
        )
    return max(fitting, key=lambda run: run[:2])[2]


def under_options(file: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A file's settings and the options that win over them.

    Where an option replaces a choice of the file, the file's settings that belong to that choice go too: a data set's
    place and split, the distance's parameters, the backend of a device.
    """
    dropped: set[str] = set()
    default = SETTINGS["distance"].default
    if "distance" in options and options["distance"] != file.get("distance", default):
        dropped |= {*METRIC_PARAMETERS, "formula"}
    if "dataset" in options and options["dataset"] != file.get("dataset", SETTINGS["dataset"].default):
        dropped |= {"data", "split"}
    for key, other in (("device", "backend"), ("backend", "device")):
        if key in options and other in file and not _go_together({**file, **options}):
            dropped.add(other)
    return {key: value for key, value in file.items() if key not in dropped} | dict(options)


def _as_written(given: Mapping[str, Any], choose: Choose) -> dict[str, Any]:
    """The given settings in the form that a configuration holds."""
    named = checked(given)
    if is_own(named.get("distance", "")):
        named |= {"own": FormulaFile.read(split(named["distance"])[0])}
        named |= {"formula": named["own"].digest, "distance": without_folder(named["distance"])}
    if "data" in named:
        named["data"] = absolute(named["data"])
    if "device" in named or "backend" in named:
        in_full = dict(zip(("device", "backend"), choose(named.get("device"), named.get("backend")), strict=True))
        named |= {key: value for key, value in in_full.items() if key in named}
    return named


def _go_together(settings: Mapping[str, Any]) -> bool:
    device = settings["device"]
    return bool(device == "auto" or (settings["backend"] == "cupy") == (device != "cpu"))
