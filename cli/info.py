"""`leakysm info`."""

from __future__ import annotations

from typing import Any

import typer
from leakysm_cli import options as o


def info(json: o.Json = False) -> None:
    """Show versions, devices, linear algebra, threads, and the data found on this machine.

    Example: leakysm info --json
    """
    import json as writer

    from leakysm.training.environment import environment

    found = environment()
    if json:
        typer.echo(writer.dumps(found))
    else:
        for line in _lines(found):
            typer.echo(line)


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for name, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        if isinstance(value, list):
            value = "; ".join(
                " ".join(f"{k} {v}" for k, v in item.items()) if isinstance(item, dict) else str(item) for item in value
            )
        lines.append(f"{name.replace('_', ' '):16} {value}")
    return lines
