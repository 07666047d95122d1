"""An experiment's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from leakysm.errors import UserError
from leakysm.files import write_atomically


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder if need be, and write each file atomically. UserError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"{folder} is a file, and a folder is expected; choose another place") from None
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; choose another place") from None
    for name, content in files.items():
        write_atomically(folder / name, content)
