"""Settings that an experiment compares, written as `leaky,threshold=1,slope=0.1`."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from leakysm.choices import LEAKY, METRIC_PARAMETERS, SETTINGS
from leakysm.data import Dataset
from leakysm.errors import UserError
from leakysm.runs.resolve import Load, resolve
from leakysm.runs.schema import unknown
from leakysm.runs.settings import KEYS, TrainConfig, checked, metric_of
from leakysm.small_texts import parse_toml

DEFAULT = ("squared-euclidean", "leaky")
METRIC_KEYS = ("distance", *METRIC_PARAMETERS)

Setting = dict[str, Any]


def parse_settings(texts: Sequence[str], keys: Collection[str] = METRIC_KEYS) -> dict[str, Setting]:
    """Settings by label, in the order given. UserError for an unknown key, a bad value, or the same setting twice."""
    settings: dict[str, Setting] = {}
    for text in texts:
        setting = parse_setting(text, keys)
        name = label(setting)
        if name in settings:
            raise UserError(f"setting {name} is given twice; leave one out")
        settings[name] = setting
    return settings


def parse_setting(text: str, keys: Collection[str] = METRIC_KEYS) -> Setting:
    """`DISTANCE[,key=value...]` as checked settings, with the leaky distance's defaults where they are missing."""
    setting: Setting = {}
    for number, part in enumerate(text.split(",")):
        key, equals, value = part.partition("=")
        if number == 0 and not equals:
            key, value = "distance", part
        elif not equals:
            raise UserError(f"setting {text!r}: {part!r} is not key=value; write e.g. leaky,threshold=1,slope=0.1")
        key = key.strip().replace("-", "_")
        if key in setting:
            raise UserError(f"setting {text!r}: {key} is given twice; leave one out")
        if key not in keys:
            raise UserError(f"setting {text!r}: {_not_compared(key, keys)}")
        setting |= checked({key: value_of(value.strip())})
    if "distance" not in setting:
        raise UserError(f"setting {text!r} names no distance; begin with one, leaky,threshold=1 say")
    if setting["distance"] == "leaky":
        setting = {**LEAKY, **setting}
    _ = metric_of(setting)
    return {key: setting[key] for key in KEYS if key in setting}


def resolve_each(
    given: Mapping[str, Any], settings: Mapping[str, Setting], load: Load
) -> tuple[dict[str, TrainConfig], Dataset]:
    """A whole configuration for each setting by label, alike in all but the setting's own keys; and their data.

    load: called for each setting with the same data set; a `Loader` reads it once. UserError if two settings lead to
    the same configuration, because one of them spells out a default.
    """
    resolved = {name: resolve({**given, **setting}, load=load) for name, setting in settings.items()}
    configs = {name: config for name, (config, _) in resolved.items()}
    for (name, config), (other, same) in itertools.combinations(configs.items(), 2):
        if config == same:
            raise UserError(f"the settings {name} and {other} are the same run; leave one out")
    _, data = next(iter(resolved.values()))
    return configs, data


def label(setting: Setting) -> str:
    """The setting as `parse_setting` reads it: the distance first, per=pair left out."""
    rest = {key: value for key, value in setting.items() if key != "distance" and (key, value) != ("per", "pair")}
    return ",".join([setting["distance"], *(f"{key}={_short(value)}" for key, value in rest.items())])


def value_of(text: str) -> Any:
    """A number, boolean or list as TOML writes it; anything else is a text."""
    if not text.isprintable():  # a line break would begin another setting
        return text
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text


def _not_compared(key: str, keys: Collection[str]) -> str:
    if key in SETTINGS:
        return f"{key} cannot differ between compared settings; choose one of {', '.join(keys)}"
    return unknown(key, keys)


def _short(value: Any) -> str:
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)
