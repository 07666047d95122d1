"""The runs of a sweep: each combination of its settings as a whole configuration, with a folder of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from leakysm.errors import UserError
from leakysm.experiments.settings import METRIC_KEYS, Setting, as_file_name, label, labels
from leakysm.experiments.sweep.file import SweepFile
from leakysm.runs import TrainConfig
from leakysm.runs.device import choose
from leakysm.runs.resolve import Load, Loader, resolve
from leakysm.runs.settings import KEYS, checked, read_settings


@dataclass(frozen=True)
class Point:
    """One run of a sweep. setting: its label, without the seed. folder: its name, unique to the configuration."""

    setting: str
    config: TrainConfig
    folder: str


def points(sweep: SweepFile, machine: Mapping[str, Any], load: Load | None = None) -> list[Point]:
    """The runs, each once. UserError, naming the run, if one is wrong.

    machine: device and backend of all runs, never "auto", and threads. load: reads the data; by default a `Loader`.
    """
    load = load or Loader()
    varied = sweep.varied() - set(METRIC_KEYS) - {"seed"}
    by_folder: dict[str, tuple[Setting, TrainConfig]] = {}
    for settings in sweep.combinations():
        try:
            config, _ = resolve({**settings, **machine}, load=load, choose=_as_they_are)
        except UserError as error:
            named = label({"distance": "leaky", **{key: settings[key] for key in KEYS if key in settings}})
            raise UserError(f"the run {named}: {error}") from None
        setting = {key: value for key, value in config.settings().items() if key in {*METRIC_KEYS, *varied, "formula"}}
        by_folder.setdefault(_folder(label(setting), config), (setting, config))
    names = labels([setting for setting, _ in by_folder.values()])
    return [Point(name, config, folder) for name, (folder, (_, config)) in zip(names, by_folder.items(), strict=True)]


def with_another_text(runs: Iterable[Point], out: Path) -> list[Path]:
    """The folders in `out` whose runs differ from these only in the text of their formula."""
    wanted = [_without_formula(checked(point.config.settings())) for point in runs if point.config.formula]
    used = {point.folder for point in runs}
    found = []
    for config in sorted(out.glob("*/config.toml")) if wanted else ():
        with suppress(UserError):  # a damaged run is not of this sweep
            if config.parent.name not in used and _without_formula(read_settings(config)) in wanted:
                found.append(config.parent)
    return found


def _without_formula(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("formula", "threads")}


def local_machine(given: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """Device and backend, without "auto", on this machine; `threads` for each run on the CPU where none are given."""
    device, backend = choose(given.get("device"), given.get("backend"))
    return {"device": device, "backend": backend, "threads": given.get("threads", threads if device == "cpu" else None)}


def remote_machine(given: Mapping[str, Any]) -> dict[str, Any]:
    """Device and backend of workers elsewhere. Their devices are unknown here, so "auto" is the CPU."""
    device = given.get("device", "cpu").replace("auto", "cpu")
    device = "cuda:0" if device == "cuda" else device
    backend = given.get("backend", "numpy" if device == "cpu" else "cupy")
    return {"device": device, "backend": backend, "threads": given.get("threads")}


def _as_they_are(device: str | None, backend: str | None) -> tuple[str, str]:
    """The device and backend as given: they are chosen already, perhaps for another machine."""
    assert device, "device is not given"
    assert backend, "backend is not given"
    return device, backend


def _folder(name: str, config: TrainConfig) -> str:
    """A name by the whole configuration except the number of threads, which changes no bit of a result."""
    digest = hashlib.sha256(replace(config, threads=None).to_toml().encode()).hexdigest()
    return f"{as_file_name(name)}-seed={config.seed}-{digest[:8]}"
