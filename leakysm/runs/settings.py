"""The settings of a run as one frozen object, and as a flat TOML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from leakysm.choices import METRIC_PARAMETERS
from leakysm.errors import UserError
from leakysm.files import read_file
from leakysm.ops.metrics import Metric, metric_named
from leakysm.runs.schema import settings_table, validated
from leakysm.small_texts import parse_toml

LARGEST = 1 << 16  # bytes of a file of settings


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Every setting of a run, resolved: nothing is left to a default. UserError if one is out of its range.

    leakysm/choices.py says what each means. data: an absolute path; None for strokes. split: only for omniglot.
    threshold, slope, per: only for the leaky distance. threads: None is one for each core. tf32: only on a GPU; None is
    strict float32.
    """

    dataset: str
    data: str | None = None
    split: str | None = None
    way: int
    shot: int
    query: int
    episodes: int
    test_way: tuple[int, ...]
    test_shot: int
    test_query: int
    test_episodes: int
    distance: str
    threshold: float | None = None
    slope: float | None = None
    per: str | None = None
    norm: str
    optimizer: str
    learning_rate: float
    halve_every: int
    seed: int
    checkpoint_every: int
    backend: str
    device: str
    threads: int | None = None
    tf32: bool | None = None

    def __post_init__(self) -> None:
        for key, value in checked(self.settings()).items():
            object.__setattr__(self, key, value)
        if self.tf32 and self.device == "cpu":
            raise UserError("tf32 works only on a GPU, but the device is cpu; leave it out, or choose device cuda")
        _ = self.metric

    @property
    def metric(self) -> Metric:
        """The distance metric with its parameters."""
        return metric_of(self.settings())

    def settings(self) -> dict[str, Any]:
        """The settings that are not None, by name."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def to_toml(self) -> str:
        """One line for each setting but threads; `read_settings` and `TrainConfig(**...)` give the others back.

        No bit of a run depends on the number of threads, so it is the machine's: environment.json tells of it.
        """
        return toml_lines({key: value for key, value in self.settings().items() if key != "threads"})


def toml_lines(settings: Mapping[str, Any]) -> str:
    """Settings as TOML, a line for each: texts, numbers, booleans, and lists of them."""
    return "".join(f"{key} = {_toml(value)}\n" for key, value in settings.items())


def metric_of(settings: Mapping[str, Any]) -> Metric:
    """The metric that settings name. UserError for a parameter that it does not have, or out of range."""
    return metric_named(settings["distance"], **{key: settings[key] for key in METRIC_PARAMETERS if key in settings})


KEYS = tuple(TrainConfig.__dataclass_fields__)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's content. UserError if it cannot be read."""
    content = read_file(path, most=LARGEST, mend="name a readable TOML file")
    try:
        return parse_toml(content.decode("utf-8-sig"))  # some editors begin a file with a mark
    except ValueError as error:
        raise UserError(f"{path} is not TOML: {error}; mend that line") from None


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of a TOML file, checked. UserError names the file and the key, and the known key most like it."""
    given = read_toml(path)
    try:
        return checked(given)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name, each value in its setting's own type: 1 becomes 1.0 where a number is wanted.

    None counts as not given. UserError if a key is unknown or its value is not one that it takes.
    """
    return validated(settings_table(), {key: value for key, value in given.items() if value is not None})


def differing(stored: TrainConfig, given: Mapping[str, Any]) -> str | None:
    """The first setting whose given value differs from the stored one; None if there is none."""
    return next((key for key in KEYS if key in given and given[key] != getattr(stored, key)), None)


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, tuple | list) else repr(value)
