"""Settings that an experiment compares, written as `leaky,threshold=1,slope=0.1`."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Sequence
from typing import Any

from leakysm.errors import UserError
from leakysm.runs.defaults import LEAKY
from leakysm.runs.settings import KEYS, METRIC_PARAMETERS, checked, metric_of

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
    """`DISTANCE[,key=value...]` as checked settings, the leaky distance's defaults filled in."""
    setting: Setting = {}
    for number, part in enumerate(text.split(",")):
        key, equals, value = part.partition("=")
        if number == 0 and not equals:
            key, value = "distance", part
        elif not equals:
            raise UserError(f"setting {text!r}: {part!r} is no key=value; write leaky,threshold=1,slope=0.1 say")
        key = key.strip().replace("-", "_")
        if key not in keys:
            raise UserError(f"setting {text!r}: {key!r} cannot be compared; choose of {', '.join(keys)}")
        if key in setting:
            raise UserError(f"setting {text!r}: {key} is given twice; leave one out")
        setting[key] = checked(key, value_of(value.strip()))
    if "distance" not in setting:
        raise UserError(f"setting {text!r} names no distance; begin with one, leaky,threshold=1 say")
    if setting["distance"] == "leaky":
        setting = {**LEAKY, **setting}
    _ = metric_of(setting)
    return {key: setting[key] for key in KEYS if key in setting}


def label(setting: Setting) -> str:
    """The setting as `parse_setting` reads it: the distance first, per=pair left unsaid."""
    rest = {key: value for key, value in setting.items() if key != "distance" and (key, value) != ("per", "pair")}
    return ",".join([setting["distance"], *(f"{key}={_short(value)}" for key, value in rest.items())])


def value_of(text: str) -> Any:
    """A number, boolean or list as TOML writes it; anything else is a text."""
    if not text.isprintable():  # a line break would begin another setting
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _short(value: Any) -> str:
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)
