"""comparison.json, sweep.json and gradients.csv as the experiments wrote them, read within bounds and checked."""

from __future__ import annotations

import csv
import math
from itertools import product
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leakysm.errors import UserError
from leakysm.files import read_file
from leakysm.plots import Floats
from leakysm.small_texts import parse_json
from leakysm.training.trainer import STEP_COLUMNS

LARGEST = 1 << 24  # bytes of a JSON file
FIRST_COLUMN = "vanished_distance_gradients"  # the page begins with it
LARGEST_TABLE = 1 << 28  # bytes of gradients.csv
MEND = "make the experiment again"

Count = Annotated[int, Field(ge=1)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Points = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Width = Annotated[float, Field(ge=0, allow_inf_nan=False)]
M = TypeVar("M", bound=BaseModel)


class Stored(BaseModel):
    """A JSON table; keys that are not read are left alone."""

    model_config = ConfigDict(strict=True)


class SeedOfSetting(Stored):
    """One trained net in one test. run: its folder."""

    seed: int
    accuracy: Percent
    interval: Percent
    run: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    difference: Points | None = None


class ComparedSetting(Stored):
    """A setting in one test: its accuracy, and its difference from the first setting."""

    setting: str
    accuracy: Percent
    interval: Width | None
    seeds: Annotated[list[SeedOfSetting], Field(min_length=1)]
    difference: Points | None = None
    difference_interval: Width | None = None
    p_value: Annotated[float, Field(ge=0, le=1)] | None = None
    p_holm: Annotated[float, Field(ge=0, le=1)] | None = None


class ComparedTest(Stored):
    """One test of all settings."""

    way: Count
    shot: Count
    query: Count
    episodes: Count
    settings: Annotated[list[ComparedSetting], Field(min_length=2)]


class StoredComparison(Stored):
    """comparison.json."""

    dataset: str
    training_episodes: Count
    baseline: str
    seeds: list[int]
    tests: Annotated[list[ComparedTest], Field(min_length=1)]


class SweptSetting(Stored):
    """A setting in one test of a sweep. test: way and shot in words."""

    setting: str
    test: str
    accuracy: Percent
    interval: Width | None
    seeds: Count


class SweptRun(Stored):
    """One run of a sweep."""

    setting: str
    seed: int
    folder: str
    status: str
    error: str | None


class StoredSweep(Stored):
    """sweep.json."""

    settings: list[SweptSetting]
    runs: list[SweptRun]


class GradientsOfSetting(Stored):
    """What is read of a setting in gradients.json."""

    setting: str
    config: dict[str, Any]


Values = Annotated[list[float | None], Field(min_length=1)]


class FigureOfClaim(Stored):
    """A figure's values, seed by seed, with the first setting and with another."""

    figure: str
    baseline: Values
    values: Values


class ClaimOfSetting(Stored):
    """A claim of the paper's abstract about a setting, in one phase of training."""

    phase: str
    setting: str
    claim: str
    figures: list[FigureOfClaim]


class StoredGradients(Stored):
    """gradients.json. claims: empty in those of older versions."""

    seeds: Annotated[list[int], Field(min_length=1)]
    steps: Count
    settings: Annotated[list[GradientsOfSetting], Field(min_length=1)]
    claims: list[ClaimOfSetting] = []


def read_stored(path: Path, model: type[M]) -> M:
    """The content of a JSON file. UserError, in one line, if it is not what the experiment writes."""
    try:
        return model.model_validate(parse_json(read_file(path, most=LARGEST, mend=MEND)))
    except UserError:
        raise
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the content"
        raise UserError(f"{path} is damaged ({where}: {fault['msg'].lower()}); {MEND}") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); {MEND}") from None


def read_gradients(path: Path, stored: StoredGradients) -> dict[str, Floats]:
    """Its columns, some or all of STEP_COLUMNS, FIRST_COLUMN among them, each as (settings, seeds, steps).

    UserError unless the file holds what gradients.json tells.
    """
    shape = (len(stored.settings), len(stored.seeds), stored.steps)
    text = read_file(path, most=LARGEST_TABLE, mend=MEND).decode(errors="replace")
    try:
        header, *rows = csv.reader(text.splitlines())
        names = header[3:]
        strange = [name for name in names if name not in STEP_COLUMNS or names.count(name) > 1]
        if strange or FIRST_COLUMN not in names:
            expected = f"{FIRST_COLUMN} and others of {', '.join(STEP_COLUMNS)}"
            raise ValueError(f"it has the columns {', '.join(names)}, expected {expected}")
        if len(rows) != math.prod(shape):
            raise ValueError(f"{len(rows)} rows, {path.with_suffix('.json').name} has {math.prod(shape)}")
        labels = [one.setting for one in stored.settings]
        for row, (label, seed, step) in zip(rows, product(labels, stored.seeds, range(stored.steps)), strict=True):
            if row[:3] != [label, str(seed), str(step)]:
                raise ValueError(f"step {step} of {label}, seed {seed} is not in its place")
        values = np.array([row[3:] for row in rows], np.float64)
        if not np.isfinite(values).all():
            raise ValueError("a number is not finite")
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({' '.join(str(error).split())}); {MEND}") from None
    return dict(zip(names, values.reshape(*shape, len(names)).transpose(3, 0, 1, 2), strict=True))
