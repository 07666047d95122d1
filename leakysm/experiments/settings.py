"""Settings that an experiment compares, written as `leaky,threshold=1,slope=0.1`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from leakysm.choices import METRIC_PARAMETERS, SETTINGS
from leakysm.data import Dataset
from leakysm.errors import UserError
from leakysm.ops.formula_file import FormulaFile, is_own, split
from leakysm.ops.metrics import distance_named
from leakysm.runs.fill_in import with_distance
from leakysm.runs.resolve import Load, resolve
from leakysm.runs.schema import unknown
from leakysm.runs.settings import KEYS, TrainConfig, checked, metric_of
from leakysm.small_texts import parse_toml

BASELINE = "squared-euclidean"
LONGEST = 200  # bytes of a label in a file's name, of which systems allow 255
METRIC_KEYS = ("distance", *METRIC_PARAMETERS, "learn_scale")

Setting = dict[str, Any]
_POINT = re.compile(r"[+-]?(\d{1,99}\.|\.\d{1,99})([eE][+-]?\d{1,9})?")  # Python's numbers that TOML does not take


def parse_settings(texts: Sequence[str], keys: Collection[str] = METRIC_KEYS) -> dict[str, Setting]:
    """Settings by label, in the order given. UserError for an unknown key, a bad value, or the same setting twice."""
    settings: dict[str, Setting] = {}
    parsed = [parse_setting(text, keys) for text in texts]
    for name, setting in zip(labels(parsed), parsed, strict=True):
        if name in settings:
            raise UserError(f"setting {name} is given twice; leave one out")
        settings[name] = setting
    return settings


def parse_setting(text: str, keys: Collection[str] = METRIC_KEYS) -> Setting:
    """`DISTANCE[,key=value...]` as checked settings, with the distance's defaults where they are missing.

    The distance may be a user's own, FILE.py:CLASS; the text of its file is added as `own`.
    """
    given = _pairs(text)
    if "distance" not in given:
        raise UserError(f"setting {text!r} names no distance; begin with one, e.g. leaky,threshold=1")
    setting = checked({"distance": given.pop("distance")})
    code = FormulaFile.read(split(setting["distance"])[0]) if is_own(setting["distance"]) else None
    names: set[str] = set()
    if setting["distance"] != "leaky":
        kind = distance_named(setting["distance"], code)
        names = {field.name for field in fields(kind)}
        if own := {key: value for key, value in given.items() if key in names | {"threshold", "slope"}}:
            setting |= checked({"set": own})
            given = {key: value for key, value in given.items() if key not in own}
    for key in given:
        if key not in keys or key == "set":
            known = [one for one in keys if one != "set"]
            raise UserError(f"setting {text!r}: {_not_compared(key, [*known, *sorted(names)])}")
    setting |= checked(given)
    setting = with_distance(setting | ({"own": code} if code else {}))
    _ = metric_of(setting, code)
    return {key: setting[key] for key in (*KEYS, "own") if key in setting}


def _pairs(text: str) -> dict[str, Any]:
    """The keys and values of `DISTANCE[,key=value...]`. UserError for any other part, or a key given twice."""
    given: dict[str, Any] = {}
    for number, part in enumerate(text.split(",")):
        key, equals, value = part.partition("=")
        if number == 0 and not equals:
            key, value = "distance", part
        elif not equals:
            raise UserError(f"setting {text!r}: {part!r} is not key=value; write e.g. leaky,threshold=1,slope=0.1")
        key = key.strip().replace("-", "_")
        if key in given:
            raise UserError(f"setting {text!r}: {key} is given twice; leave one out")
        given[key] = value_of(value.strip())
    return given


def beside_baseline(distance: str, parameters: Mapping[str, Any]) -> list[str]:
    """Settings as text: squared Euclidean distance, this one with its parameters, and its control.

    The control of a leaky distance is pure scaling: threshold 0 at the same slope. Other distances have none.
    """
    compared = [{"distance": BASELINE}, {"distance": distance, **parameters}]
    if compared[0] == compared[1]:
        raise UserError(f"the distance is {distance}, with which others are compared; give another")
    if distance == "leaky" and parameters.get("threshold") != 0:
        compared.append(compared[-1] | {"threshold": 0.0})
    return [label(one) for one in compared]


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
    parts = [setting["distance"]]
    for key, value in setting.items():
        if key == "set":
            parts += [f"{name}={_short(inner)}" for name, inner in dict(value).items()]
        elif key not in ("distance", "formula", "own") and (key, value) != ("per", "pair"):
            parts.append(f"{key}={_short(value)}")
    return ",".join(parts)


def labels(settings: Sequence[Setting]) -> list[str]:
    """The label of each; where files of the same name hold different formulas, with the beginning of the SHA-256."""
    texts = {(setting["distance"], setting.get("formula")) for setting in settings}
    names = [name for name, _ in texts]
    return [
        f"{label(one)},formula={one['formula'][:8]}" if names.count(one["distance"]) > 1 else label(one)
        for one in settings
    ]


def as_file_name(label: str) -> str:
    """A label as a part of a file's name: without the characters that a system refuses, and cut where it is long."""
    return re.sub(r'[,/:\\*?"<>|]', "-", label).encode()[:LONGEST].decode(errors="ignore")


def value_of(text: str) -> Any:
    """A number, boolean or list as TOML writes it, or Python: .5, 1., True; anything else is a text."""
    if not text.isprintable():  # a line break would begin another setting
        return text
    if _POINT.fullmatch(text):
        return float(text)
    try:
        return parse_toml(f"value = {text.lower() if text in ('True', 'False') else text}")["value"]
    except ValueError:
        return text


def _not_compared(key: str, keys: Collection[str]) -> str:
    if key in SETTINGS:
        return f"{key} cannot differ between compared settings; choose one of {', '.join(keys)}"
    return unknown(key, keys)


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)
