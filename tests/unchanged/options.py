"""The commands' options and arguments: names, types, choices, defaults. Not the words of the help."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tests.cli.commands import commands
from tests.unchanged.looked import Looked

OF_TYPER = ("install_completion", "show_completion")


def look(_: Path) -> Looked:
    """A line for each option of every command."""
    return Looked({" ".join(("leakysm", *words)): dict(_options(command)) for words, command in commands()})


def _options(command: Any) -> Iterator[tuple[str, str]]:
    hints = get_type_hints(inspect.unwrap(command.callback), include_extras=True) if command.callback else {}
    for option in command.params:
        if option.name not in OF_TYPER:
            yield option.name, "; ".join(_told(option, hints[option.name]))


def _told(option: Any, annotated: Any) -> Iterator[str]:
    """Kind, names, type, limits, default."""
    hint, info = get_args(annotated)
    yield option.param_type_name
    yield " ".join([*option.opts, *(f"not: {name}" for name in option.secondary_opts)])
    yield _type(hint)
    yield from (f"{limit} {getattr(info, limit)}" for limit in ("min", "max") if getattr(info, limit) is not None)
    default = str(option.default) if isinstance(option.default, Path) else repr(option.default)
    yield "required" if option.required else f"default {default}"
    if option.multiple or option.nargs != 1:
        yield "several"


def _type(hint: Any) -> str:
    """A type in words, None left out."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_type(part) for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    if get_origin(hint) is list:
        return f"list of {_type(*get_args(hint))}"
    return str(hint.__name__)


ITEMS = {"options": look}
