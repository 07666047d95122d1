"""The settings of a run as one frozen object, and as a flat TOML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.choices import LEAKY, SETTINGS, USUAL
from leakysm.errors import UserError
from leakysm.files import read_file
from leakysm.ops.formula_file import FormulaFile, is_own, split
from leakysm.ops.metrics import Metric, metric_named
from leakysm.runs.schema import settings_table, validated
from leakysm.small_texts import parse_toml

LARGEST = 1 << 16  # bytes of a file of settings
PREFIX = "own:"  # begins the name of a distance or data set that was made in Python


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All settings of a run, without open defaults. UserError if one is out of its range.

    `leakysm train --help` explains the settings; `leakysm.resolve` makes a TrainConfig of some of them.
    data: an absolute path; None for strokes. split: only for omniglot. threshold, slope: only for the leaky
    distance. per: only for restrictions. set: pairs (name, value) of the parameters of other distances. formula:
    SHA-256 of the file of a distance FILE.py:CLASS. learn_scale: whether distances are multiplied by a learned
    scale; None is no. channels, blocks: of Conv4; None is 64 and 4. net: the class of your own net; None is Conv4.
    threads: None is one for each core. products: of matrices on a GPU; None is float32. own: not a setting, but the
    text of the formula's file, or the metric object that was given in Python.
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
    set: tuple[tuple[str, Any], ...] | None = None
    formula: str | None = None
    learn_scale: bool | None = None
    channels: int | None = None
    blocks: int | None = None
    net: str | None = None
    norm: str
    optimizer: str
    learning_rate: float
    halve_every: int
    seed: int
    checkpoint_every: int
    backend: str
    device: str
    threads: int | None = None
    products: str | None = None
    own: FormulaFile | Metric | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for key, value in checked(self.settings()).items():
            object.__setattr__(self, key, value)
        if self.products not in (None, "float32") and self.device == "cpu":
            raise UserError(
                f"products is {self.products!r}, which works only on a GPU, but the device is cpu; leave it out, or "
                "choose device cuda"
            )
        self._require_formula()
        if not self.distance.startswith(PREFIX) and not (isinstance(self.own, FormulaFile) and not self.own.trusted):
            _ = self.metric

    def _require_formula(self) -> None:
        """UserError unless the text of a formula's file is there, if the distance has one, and has this digest."""
        if not is_own(self.distance):
            if self.formula:
                raise UserError(f"formula is given, but the distance is {self.distance}; leave it out")
        elif not (isinstance(self.own, FormulaFile) and self.own.digest == self.formula):
            raise UserError(
                f"distance {self.distance} is given without its file's text and SHA-256; leakysm.resolve adds both"
            )

    @property
    def metric(self) -> Metric:
        """The distance metric with its parameters. UserError if it is code that may not be run."""
        return metric_of(self.settings(), self.own)

    @property
    def distance_in_words(self) -> str:
        """The metric with its parameters, and whether its scale is learned."""
        return f"{self.metric}{', learned scale' if self.learn_scale else ''}"

    def settings(self) -> dict[str, Any]:
        """The settings that are not None, by name."""
        given = {key: getattr(self, key) for key in KEYS}
        given["set"] = dict(self.set) if self.set else None
        return {key: value for key, value in given.items() if value is not None}

    def to_toml(self) -> str:
        """One line for each setting but threads; `read_settings` and `TrainConfig(**...)` give the others back.

        No bit of a run depends on the number of threads, so it is the machine's: environment.json has it.
        """
        return toml_lines({key: value for key, value in self.settings().items() if key != "threads"})


def formula_text(config: TrainConfig) -> bytes:
    """The text of the file that defines a run's distance; empty if the distance has no file of its own."""
    return config.own.text if isinstance(config.own, FormulaFile) else b""


def settings_of_a_file(config: TrainConfig) -> dict[str, Any]:
    """The settings for a file to train with, which stands elsewhere than a run's: a formula's file with its folder.

    The number of threads is left out, as it is the machine's.
    """
    settings = {key: value for key, value in config.settings().items() if key != "threads"}
    if isinstance(config.own, FormulaFile) and config.own.path.suffix == ".py":
        settings["distance"] = f"{config.own.path}:{split(config.distance)[1]}"
    return settings


def toml_lines(settings: Mapping[str, Any]) -> str:
    """Settings as TOML, a line for each: texts, numbers, booleans, lists of them, and the table `set`."""
    return "".join(f"{key} = {_setting_toml(key, value)}\n" for key, value in settings.items())


def shown(key: str, value: Any) -> str:
    """A setting's value in a message: lists and tables as config.toml writes them."""
    return _setting_toml(key, value) if isinstance(value, tuple | dict) else repr(value)


def _setting_toml(key: str, value: Any) -> str:
    """A setting's value as TOML. The parameters `set` are pairs once they are checked."""
    return _toml(dict(value) if key == "set" else value)


def in_full(key: str, value: Any) -> Any:
    """A setting's value; for None its value in USUAL, if it has one."""
    return USUAL.get(key) if value is None else value


def conv4_size(config: TrainConfig) -> tuple[int, int] | None:
    """Channels and blocks of a run's Conv4; None if its net is somebody's own."""
    return None if config.net else (in_full("channels", config.channels), in_full("blocks", config.blocks))


def metric_parameters(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a distance among settings, by name."""
    return {key: settings[key] for key in LEAKY if key in settings} | dict(settings.get("set", ()))


def metric_of(settings: Mapping[str, Any], own: FormulaFile | Metric | None = None) -> Metric:
    """The metric that settings name. UserError for a parameter that it does not have, or out of range.

    own: the text of its file, or the object, if the distance is a user's own.
    """
    if isinstance(own, Metric):
        return own
    if settings["distance"].startswith(PREFIX):
        name = settings["distance"].removeprefix(PREFIX)
        raise UserError(
            f"the distance {name} was made in Python; give the same object again, in Python "
            f"(leakysm.train, leakysm.evaluate_run): metric={name}(...)"
        )
    return metric_named(settings["distance"], own, **metric_parameters(settings))


KEYS = tuple(SETTINGS)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's content. UserError if it cannot be read."""
    content = read_file(path, most=LARGEST, mend="name a readable TOML file")
    try:
        return parse_toml(content.decode("utf-8-sig"))  # some editors begin a file with a mark
    except ValueError as error:
        raise UserError(f"{path} is not TOML: {error}; correct that line") from None


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
    return validated(settings_table(), {key: _plain(value) for key, value in given.items() if value is not None})


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's numbers and lists."""
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def differing(stored: TrainConfig, given: Mapping[str, Any]) -> str | None:
    """The first setting whose given value differs from the stored one; None if there is none.

    `set` need not hold all.
    """
    given = dict(given)
    if given.get("set"):
        given["set"] = tuple((dict(stored.set or ()) | dict(given["set"])).items())
    return next(
        (key for key in KEYS if key in given and in_full(key, given[key]) != in_full(key, getattr(stored, key))), None
    )


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_toml_key(key)} = {_toml(inner)}' for key, inner in value.items())} }}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, tuple | list) else repr(value)


def _toml_key(name: str) -> str:
    return name if name.isascii() else _toml(name)
