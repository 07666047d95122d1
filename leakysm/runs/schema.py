"""The rules of settings as pydantic models, and pydantic's errors as one line of ours."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache, partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from leakysm.choices import ALSO_CALLED, OWN_DISTANCE, SETTINGS, Setting
from leakysm.errors import UserError, suggestion
from leakysm.files import printable

EXPECTED = {  # by the type of pydantic's error
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text in quotes",
    "list_type": "a list",
    "dict_type": "a table",
}
TF32 = {True: "tf32", False: "float32"}  # what products are by the older setting tf32
OLDER_CONVOLUTIONS = ("direct", "winograd")  # values of an older setting
OUT_OF_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


def table(name: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    """The model of a TOML table by the type of each key. Every key may be missing, and no other key is taken."""
    optional: dict[str, Any] = {key: (kind, None) for key, kind in fields.items()}
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **optional)


@cache
def setting_types() -> dict[str, Any]:
    """Each setting's type for pydantic, with its range or choices, by the setting's name."""
    return {key: _type(setting) for key, setting in SETTINGS.items()}


@cache
def settings_table() -> type[BaseModel]:
    """The model of settings, of which any may be missing."""
    return table("Settings", setting_types())


def validated(model: type[BaseModel], content: Mapping[str, Any]) -> dict[str, Any]:
    """The content, each value in the type of its key, in the order given. Older content may have tf32 for products,
    and a convolution, which is ignored.

    UserError if a key is unknown, or its value is not one that it takes.
    """
    if content.get("convolution") in OLDER_CONVOLUTIONS:
        content = {key: value for key, value in content.items() if key != "convolution"}
    if isinstance(tf32 := content.get("tf32"), bool) and "products" not in content:
        content = {("products" if key == "tf32" else key): value for key, value in content.items()}
        content["products"] = TF32[tf32]
    try:
        checked = model.model_validate(content)
    except ValidationError as error:
        raise UserError(_one_line(error, model.model_fields)) from None
    return {key: getattr(checked, key) for key in content}


def distinct_values(kind: Any) -> Any:
    """The type of a list that holds at least one value, and none twice."""
    return Annotated[list[kind], Field(min_length=1), AfterValidator(_refuse_twice)]


def _type(setting: Setting) -> Any:
    if setting.own:
        return Annotated[str, AfterValidator(partial(_refuse_unknown, setting=setting))]
    if setting.kind is dict:
        return Annotated[tuple[tuple[str, bool | int | float | str], ...], BeforeValidator(_as_pairs)]
    if setting.choices:
        return Literal[setting.choices]
    limits: dict[str, Any] = dict(setting.limits)
    if setting.kind is tuple:
        number = Annotated[int, Field(**limits)]
        several = Annotated[tuple[number, ...], Field(min_length=1), AfterValidator(_refuse_twice)]
        return Annotated[several, BeforeValidator(_as_tuple)]
    if setting.kind is str:
        return Annotated[str, AfterValidator(_refuse_unwritable)]
    return Annotated[setting.kind, Field(**limits)]


def _refuse_unknown(text: str, setting: Setting) -> str:
    if text in setting.choices or re.fullmatch(setting.own, text):
        return _refuse_unwritable(text)
    if text.endswith(".py"):
        raise ValueError(f"it names no class; write {text}:CLASS")
    name, comma, _ = text.partition(",")
    if comma and setting.own == OWN_DISTANCE:
        raise ValueError(f"its parameters stand in it; give {name} alone, and each parameter by its own option")
    in_file = text.replace(":", ".py:", 1)
    if re.fullmatch(setting.own, in_file):
        raise ValueError(f"did you mean {in_file!r}?")
    raise ValueError(suggestion(text, (*setting.choices, *(["FILE.py:CLASS"] if setting.own == OWN_DISTANCE else []))))


def _as_pairs(value: Any) -> Any:
    """Parameters by name as (name, value) each, which can be compared and hashed."""
    if isinstance(value, Mapping):
        value = tuple(value.items())
    if not (isinstance(value, tuple) and value and all(str(name).isidentifier() for name, _ in value)):
        raise ValueError("give parameters by name, e.g. { scale = 2.0 }")
    return value


def _as_tuple(value: Any) -> Any:
    """One number counts as a list of one."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _refuse_twice(values: Sequence[Any]) -> Sequence[Any]:
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is given twice; leave one out")
    return values


def _refuse_unwritable(text: str) -> str:
    if not text.isascii() and printable(text) != text:
        raise ValueError("it cannot be written to config.toml; rename it, or use a UTF-8 locale")
    return text


def unknown(key: str, known: Collection[str]) -> str:
    """What to tell a user whose key is not known: the key that was probably meant, or all of them."""
    if key == "scale":  # of log
        return f"unknown setting {key!r}; a parameter of the distance stands in set: set = {{ {key} = ... }}"
    usual = ALSO_CALLED.get(key, "")
    return f"unknown setting {key!r}; " + suggestion(key, [usual] if usual in known else known)


def _one_line(error: ValidationError, known: Collection[str]) -> str:
    """The first of pydantic's errors in the words of this package."""
    first = error.errors(include_url=False)[0]
    (key, *inside), kind, value = first["loc"], first["type"], first["input"]
    key = str(key)
    setting = SETTINGS.get(key)
    shown = f"{key} {'holds' if inside else 'is'} {_shown(value)}"
    if kind == "extra_forbidden":
        return _not_taken(key, value, known)
    if kind in ("literal_error", "string_type") and setting and setting.choices:
        return f"{shown}: {suggestion(value, setting.choices)}"
    if kind == "value_error":
        return f"{shown}: {first['ctx']['error']}"
    if kind == "too_short":
        return f"{shown}: give at least one value"
    if kind in OUT_OF_RANGE and setting:
        return f"{shown}: {_range(key, setting, kind)}"
    return f"{shown}: expected {EXPECTED[kind]}" if kind in EXPECTED else f"{shown}: {first['msg']}"


def _not_taken(key: str, value: Any, known: Collection[str]) -> str:
    if isinstance(value, Mapping) and set(known) == set(SETTINGS):
        return f"[{key}] is a table; write its settings without it, at the top of the file"
    return unknown(key, known)


def _shown(value: Any) -> str:
    if isinstance(value, str) and printable(value) != value:
        return printable(value)
    return repr(list(value) if isinstance(value, tuple) else value)


def _range(key: str, setting: Setting, kind: str) -> str:
    """What the setting's limits allow, after an error of that kind: `give 2 or more`, `expected 0 < slope <= 1`."""
    limits = setting.limits
    if setting.kind is not float:
        return f"give {limits['ge']} or more" if kind == "greater_than_equal" else f"give {limits['le']} or less"
    low = f"{limits['gt']} <" if "gt" in limits else f"{limits['ge']} <="
    high = f"< {limits['lt']}" if "lt" in limits else f"<= {limits['le']}"
    return f"expected {low} {key} {high}"
