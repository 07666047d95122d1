"""`leakysm info`."""

from __future__ import annotations

from typing import Any

import typer
from leakysm_cli import options as o


def info(json: o.Json = False) -> None:
    """Show versions, devices, linear algebra, threads, and the data found on this machine.

    Example: leakysm info --json
    """
    from leakysm_cli.output import print_json

    from leakysm.runs.environment import data_found, environment

    description = environment() | {"data": data_found()}
    if json:
        print_json(description)
    else:
        for line in _lines(description):
            typer.echo(line)


def _lines(description: dict[str, Any]) -> list[str]:
    return [f"{name.replace('_', ' '):16}{_text(value)}" for name, value in description.items()]


def _text(value: Any) -> str:
    """A nested value in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_text(item)}" for key, item in value.items())
    return "; ".join(map(_text, value)) if isinstance(value, list) else str(value)
