"""Files that are whole or not there: a crash at any moment leaves the old content or the new, never a part."""

from __future__ import annotations

import os
from pathlib import Path

from leakysm.errors import UserError


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, through a file beside it that reaches the disk before it takes the name.

    UserError if the folder cannot be written to, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); make room, or choose another folder") from None


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk when its folder is; systems that cannot open a folder (Windows) do it by themselves."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
