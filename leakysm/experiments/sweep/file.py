"""A sweep's TOML file: settings that all runs share, a grid of others, and controls beside the grid.

dataset = "strokes"               # settings by their names in a run's config.toml
episodes = 1000
[grid]                            # every combination of these
threshold = [0, 1, 10]
slope = [0.1, 0.01]
seed = [0, 1, 2]
[[control]]                       # these instead of the grid's distance, at each of its other values
distance = "euclidean"
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from leakysm.data import Dataset
from leakysm.errors import UserError
from leakysm.experiments.settings import METRIC_KEYS, Setting, label
from leakysm.runs import TrainConfig
from leakysm.runs.defaults import fit, with_defaults
from leakysm.runs.device import choose
from leakysm.runs.resolve import load_data
from leakysm.runs.settings import KEYS, METRIC_PARAMETERS, checked, read_toml

TABLES = ("grid", "control")
LONGEST = 200  # bytes of a setting in a folder's name, of which systems allow 255
MACHINE = {"backend", "device", "threads"}  # of all runs
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class SweepFile:
    """shared: settings of all runs. grid: a list of values by setting. controls: settings."""

    shared: Setting
    grid: dict[str, list[Any]]
    controls: list[Setting]

    def combinations(self) -> Iterator[Setting]:
        """The settings of every run: the grid, its last key fastest, then each control."""
        yield from (self.shared | point for point in _product(self.grid))
        for control in self.controls:
            replaced = {*control, *(METRIC_PARAMETERS if "distance" in control else ())}
            rest = {key: values for key, values in self.grid.items() if key not in replaced}
            shared = {key: value for key, value in self.shared.items() if key not in replaced}
            yield from (shared | control | point for point in _product(rest))

    def varied(self) -> set[str]:
        """Settings in which runs may differ."""
        return {*self.grid, *(key for control in self.controls for key in control)}


@dataclass(frozen=True)
class Point:
    """One run of a sweep. setting: its label, without the seed. folder: its name, by the resolved configuration."""

    setting: str
    config: TrainConfig
    folder: str


def read_sweep(path: Path) -> SweepFile:
    """UserError, naming the file, for whatever is amiss; an unknown key with the nearest known one."""
    content = read_toml(path)
    try:
        shared = {key: _checked(key, value) for key, value in content.items() if key not in TABLES}
        grid, controls = content.get("grid", {}), content.get("control", [])
        if (
            not isinstance(grid, dict)
            or not isinstance(controls, list)
            or not all(isinstance(c, dict) for c in controls)
        ):
            raise UserError("grid is to be a table, [grid], and control a list of tables, [[control]]; write them so")
        found = SweepFile(
            shared,
            {key: _values(key, values) for key, values in grid.items()},
            [{key: _checked(key, value) for key, value in control.items()} for control in controls],
        )
        if not all(controls):
            raise UserError("a [[control]] is empty; give it settings, distance say, or take it out")
        if machine := sorted(MACHINE & found.varied()):
            raise UserError(f"{machine[0]} differs between runs; set it for all of them, above the tables")
        if not found.varied():
            raise UserError("no [grid] and no [[control]]; give values to run over, [grid] seed = [0, 1, 2] say")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return found


def points(sweep: SweepFile, machine: Mapping[str, Any], report: Report | None = None) -> list[Point]:
    """The runs, each once. machine: device, backend, threads of all. UserError names a run that cannot be."""
    loaded = lru_cache(maxsize=None)(lambda *key: load_data(dict(key), report))
    varied = sweep.varied() - set(METRIC_KEYS) - {"seed"}
    found: dict[str, Point] = {}
    for settings in sweep.combinations():
        shown = label({"distance": "leaky", **{key: settings[key] for key in KEYS if key in settings}})
        try:
            config = _resolved({**settings, **machine}, loaded)
        except UserError as error:
            raise UserError(f"the run {shown}: {error}") from None
        values = config.settings()
        name = label({key: values[key] for key in KEYS if key in values and (key in METRIC_KEYS or key in varied)})
        point = Point(name, config, _folder(name, config))
        found.setdefault(point.folder, point)
    return list(found.values())


def _resolved(settings: Setting, loaded: Callable[..., Dataset]) -> TrainConfig:
    defaulted = with_defaults(settings)
    data = loaded(*((key, defaulted[key]) for key in ("dataset", "data", "split") if key in defaulted))
    return fit(defaulted, data)


def _folder(name: str, config: TrainConfig) -> str:
    """Of the whole configuration but for the number of threads, which changes no bit of a result."""
    digest = hashlib.sha256(replace(config, threads=None).to_toml().encode()).hexdigest()
    readable = name.replace(",", "-").replace("/", "-").encode()[:LONGEST].decode(errors="ignore")
    return f"{readable}-seed={config.seed}-{digest[:8]}"


def local_machine(given: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """Device and backend in full; `threads` of the CPU a run where none are given."""
    device, backend = choose(given.get("device"), given.get("backend"))
    return {"device": device, "backend": backend, "threads": given.get("threads", threads if device == "cpu" else None)}


def remote_machine(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same for workers elsewhere: this machine's devices say nothing of theirs, so "auto" is the CPU there."""
    device = given.get("device", "cpu").replace("auto", "cpu")
    device = "cuda:0" if device == "cuda" else device
    backend = given.get("backend", "numpy" if device == "cpu" else "cupy")
    return {"device": device, "backend": backend, "threads": given.get("threads")}


def _product(grid: Mapping[str, list[Any]]) -> Iterator[Setting]:
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def _values(key: str, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise UserError(f"grid: {key} is {values!r}: expected a list of values")
    found = [_checked(key, value) for value in values]
    if twice := [value for i, value in enumerate(found) if value in found[:i]]:
        raise UserError(f"grid: {key} has {twice[0]!r} twice; leave one out")
    return found


def _checked(key: str, value: Any) -> Any:
    if key not in KEYS:
        near = difflib.get_close_matches(key, [*KEYS, *TABLES], n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"choose of {', '.join([*KEYS, *TABLES])}"
        raise UserError(f"{key} is no setting; {hint}")
    return checked(key, value)
