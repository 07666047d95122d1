"""What decides a training run: one frozen object, and its form as a flat TOML file."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from leakysm.data import DATASETS, SPLITS
from leakysm.errors import UserError
from leakysm.files import printable
from leakysm.ops.metrics import METRICS, Metric, metric_named
from leakysm.optim import OPTIMIZERS, check_learning_rate

CHOICES: dict[str, tuple[str, ...]] = {
    "dataset": DATASETS,
    "split": SPLITS,
    "distance": tuple(METRICS),
    "per": ("pair", "coordinate"),
    "norm": ("running", "episode"),
    "optimizer": tuple(OPTIMIZERS),
    "backend": ("reference", "numpy", "cupy"),
}
LEAST = {
    **dict.fromkeys(("way", "test_way", "test_episodes"), 2),
    **dict.fromkeys(("shot", "query", "episodes", "test_shot", "test_query", "checkpoint_every", "threads"), 1),
    **dict.fromkeys(("halve_every", "seed"), 0),
}
LARGEST = (1 << 63) - 1  # of whole numbers in TOML
METRIC_PARAMETERS = ("threshold", "slope", "per")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Every setting of a run, resolved: nothing is left to a default. UserError if one is out of its range.

    data: absolute path, None for strokes. split: Omniglot's alone. threshold, slope, per: the leaky distance's alone.
    threads: None is one for each core. tf32: a GPU's alone; None is strict float32. checkpoint_every: episodes between
    checkpoints, and between validations.
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
        for key, value in self.settings().items():
            object.__setattr__(self, key, checked(key, value))
        if self.tf32 and self.device == "cpu":
            raise UserError("tf32 is a GPU's, device is cpu; leave it out, or choose device cuda")
        _ = self.metric

    @property
    def metric(self) -> Metric:
        """The distance metric with its parameters."""
        return metric_of(self.settings())

    def settings(self) -> dict[str, Any]:
        """The settings that are not None, by name."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def to_toml(self) -> str:
        """One line a setting; `read_settings` and `TrainConfig(**...)` give the same object back."""
        return "".join(f"{key} = {_toml(value)}\n" for key, value in self.settings().items())


def metric_of(settings: Mapping[str, Any]) -> Metric:
    """The metric that settings name. UserError for a parameter that it does not have, or out of range."""
    return metric_named(settings["distance"], **{key: settings[key] for key in METRIC_PARAMETERS if key in settings})


KEYS = tuple(TrainConfig.__dataclass_fields__)
_TYPES: dict[str, type] = {  # of `float | None` the float, of tuple[int, ...] the tuple
    key: get_origin(hint) if get_origin(hint) is tuple else (get_args(hint) or (hint,))[0]
    for key, hint in get_type_hints(TrainConfig).items()
}
_CALLED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    tuple: "a list of whole numbers",
}


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's content. UserError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # some editors begin a file with a mark
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a readable TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}; mend that line") from None


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of a TOML file, checked one by one. UserError names the key and, if unknown, the nearest."""
    given = read_toml(path)
    try:
        return {key: checked(key, value) for key, value in given.items()}
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def checked(key: str, value: Any) -> Any:
    """The value in its setting's own type. UserError if the key is unknown or the value is not one that it takes."""
    if key not in KEYS and isinstance(value, dict):
        raise UserError(f"[{key}] is a table; write its settings without it, at the top of the file")
    if key not in KEYS:
        raise UserError(f"{key} is no setting; {_nearest(key, KEYS)}")
    kind = _TYPES[key]
    if kind is float and type(value) is int:
        value = float(value)
    if kind is tuple:
        value = _whole_numbers(key, value)
    elif type(value) is not kind:
        raise UserError(f"{key} is {value!r}: expected {_CALLED[kind]}")
    if kind is str and not value.isascii() and printable(value) != value:
        raise UserError(
            f"{key} is {printable(value)}, which cannot be written to config.toml; rename it, or use a UTF-8 locale"
        )
    if key in CHOICES and value not in CHOICES[key]:
        raise UserError(f"{key} is {value!r}: {_nearest(value, CHOICES[key])}")
    if key == "learning_rate":
        check_learning_rate(value)
    for number in value if kind is tuple else (value,):
        if key in LEAST and number < LEAST[key]:
            raise UserError(f"{key} is {number}: give {LEAST[key]} or more")
        if kind in (int, tuple) and number > LARGEST:
            raise UserError(f"{key} is {number}: give {LARGEST} or less")
    return value


def differing(stored: TrainConfig, given: Mapping[str, Any]) -> str | None:
    """The first key whose given value is not the stored one."""
    return next((key for key in KEYS if key in given and given[key] != getattr(stored, key)), None)


def _whole_numbers(key: str, value: Any) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not values or any(type(v) is not int for v in values):
        raise UserError(f"{key} is {value!r}: expected a whole number or a list of them")
    twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
    if twice is not None:
        raise UserError(f"{key} is {list(values)}: {twice} is given twice; leave one out")
    return values


def _nearest(word: str, choices: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"choose one of {', '.join(choices)}"


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(repr, value))}]" if isinstance(value, tuple) else repr(value)
