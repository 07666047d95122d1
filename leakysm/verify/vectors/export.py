"""Reference vectors in other formats: one npz, or one JSON file."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.errors import UserError
from leakysm.files import write_atomically
from leakysm.verify.vectors.stored import Group

FORMATS = ("npz", "json")


def export(groups: Mapping[str, Group], path: Path) -> None:
    """Write groups to PATH, whose ending says how: .npz (keys case/path) or .json (numbers with all their digits)."""
    kind = path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise UserError(
            f"output is {path.name}; a name that ends in .npz or .json is expected: the ending chooses the format"
        )
    if kind == "npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **_flat(groups))
        content = buffer.getvalue()
    else:
        content = (json.dumps({name: _plain(group) for name, group in groups.items()}, indent=1) + "\n").encode()
    write_atomically(path, content)


def _flat(groups: Mapping[str, Group]) -> dict[str, Any]:
    arrays = {f"{name}/{path}": array for name, group in groups.items() for path, array in group.arrays.items()}
    texts = {f"{name}/@{key}": text for name, group in groups.items() for key, text in _texts(group).items()}
    return arrays | {path: np.array(text) for path, text in texts.items()}


def _texts(group: Group) -> dict[str, str]:
    return group.contents | group.description


def _plain(group: Group) -> dict[str, Any]:
    """JSON has no infinities or NaN: they become the strings "inf", "-inf" and "nan"."""
    arrays = {
        path: {"shape": list(array.shape), "values": [_number(value) for value in array.ravel().tolist()]}
        for path, array in group.arrays.items()
    }
    return {**_texts(group), "parameters": json.loads(group.contents["parameters"]), "arrays": arrays}


def _number(value: float) -> float | str:
    return value if np.isfinite(value) else str(value)
