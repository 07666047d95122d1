"""A sweep's TOML file: settings that all runs share, a grid of others, and controls beside the grid.

dataset = "strokes"               # settings by their names in a run's config.toml
episodes = 1000
[grid]                            # every combination of these; [grid.set]: the parameters of your own distance
threshold = [0, 1, 10]
slope = [0.1, 0.01]
seed = [0, 1, 2]
[[control]]                       # in place of the grid's distance, with all other values of the grid
distance = "euclidean"
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from leakysm.choices import METRIC_PARAMETERS
from leakysm.errors import UserError
from leakysm.experiments.settings import Setting
from leakysm.runs.schema import distinct_values, setting_types, settings_table, table, validated
from leakysm.runs.settings import read_toml

MOST_RUNS = 10_000
MACHINE = {"backend", "device", "threads"}  # settings that all runs must share
OF_DISTANCE = {"distance", "formula", *METRIC_PARAMETERS}  # a [[control]] with a distance takes none from elsewhere


@dataclass(frozen=True)
class SweepFile:
    """shared: settings of all runs. grid: a list of values by setting. controls: settings beside the grid."""

    shared: Setting
    grid: dict[str, list[Any]]
    controls: list[Setting]

    def combinations(self) -> Iterator[Setting]:
        """The settings of every run: the grid, its last key fastest, then each control."""
        for shared, grid in self._grids():
            yield from (_joined(shared, values) for values in _product(grid))

    def count(self) -> int:
        """How many combinations there are, without making them."""
        return sum(math.prod(map(len, grid.values())) for _, grid in self._grids())

    def _grids(self) -> Iterator[tuple[Setting, dict[str, list[Any]]]]:
        """Settings that runs share, and the values that they combine: of the grid, then beside each control."""
        yield self.shared, self.grid
        for control in self.controls:
            replaced = {*control, *(OF_DISTANCE if "distance" in control else ())}
            rest = {key: values for key, values in self.grid.items() if key.partition(".")[0] not in replaced}
            shared = {key: value for key, value in self.shared.items() if key not in replaced}
            yield shared | control, rest

    def varied(self) -> set[str]:
        """Settings in which runs may differ."""
        return {*self.grid, *(key for control in self.controls for key in control)}


def read_sweep(path: Path) -> SweepFile:
    """The file's content, checked. UserError, naming the file, for whatever is wrong in it."""
    content = read_toml(path)
    try:
        shared = validated(_file_table(), content)
        grid = _with_parameters(_validated_part("[grid]", _grid_table(), shared.pop("grid", {})))
        controls = [_validated_part("[[control]]", settings_table(), one) for one in shared.pop("control", [])]
        sweep = SweepFile(shared, grid, controls)
        _require_runs(sweep)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return sweep


@cache
def _file_table() -> Any:
    controls = Annotated[list[dict[str, Any]], BeforeValidator(_refuse_one_table)]
    return table("SweepFile", setting_types() | {"grid": dict[str, Any], "control": controls})


def _refuse_one_table(value: Any) -> Any:
    if isinstance(value, dict):
        raise ValueError("write each control as a table [[control]], in two brackets")
    return value


@cache
def _grid_table() -> Any:
    lists: dict[str, Any] = {key: distinct_values(kind) for key, kind in setting_types().items()}
    values: Any = distinct_values(bool | int | float | str)
    return table("Grid", lists | {"set": dict[str, values]})


def _with_parameters(grid: dict[str, Any]) -> dict[str, Any]:
    """The grid with a key "set.scale" for each parameter in its table `set`."""
    own = {f"set.{name}": values for name, values in grid.pop("set", {}).items()}
    return grid | own


def _joined(shared: Setting, values: Mapping[str, Any]) -> Setting:
    """A combination of the grid over the shared settings, its parameters "set.scale" among those in `set`."""
    own = {key.removeprefix("set."): value for key, value in values.items() if key.startswith("set.")}
    rest = {key: value for key, value in values.items() if not key.startswith("set.")}
    whole = dict(shared.get("set", ())) | own
    return shared | rest | ({"set": whole} if whole else {})


def _validated_part(name: str, model: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return validated(model, content)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def _require_runs(sweep: SweepFile) -> None:
    """UserError unless there are settings that vary, and none of them is the machine's."""
    if not all(sweep.controls):
        raise UserError("a [[control]] is empty; give it settings, such as a distance, or remove it")
    if machine := sorted(MACHINE & sweep.varied()):
        raise UserError(f"{machine[0]} differs between runs; set it for all of them, above the tables")
    if not sweep.varied():
        raise UserError("there is no [grid] and no [[control]]; give values to run over, such as [grid] seed = [0, 1]")
    if (count := sweep.count()) > MOST_RUNS:
        raise UserError(f"the grid has {count} runs, expected at most {MOST_RUNS}; give fewer values")


def _product(grid: Mapping[str, list[Any]]) -> Iterator[Setting]:
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))
