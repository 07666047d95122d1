"""Files read with a bound on their size, and written so that they are whole or not there.

A crash at any moment leaves the old content of a file or the new one, never a part.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from leakysm.errors import UserError

LARGEST = 1 << 30  # bytes of a file that is read whole


def printable(path: Path | str) -> str:
    """A file's name as text that every output takes: a byte of it that is no UTF-8 becomes \\xNN."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def opened(path: Path, *, most: int, mend: str) -> Iterator[BufferedReader]:
    """The file, open for reading. UserError that ends in `mend` if it cannot be read, or holds more than `most` bytes.

    A device may have no end, so none is opened.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UserError(f"{printable(path)} is a folder, and a file is expected; {mend}")
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise UserError(f"{printable(path)} is a device, and a file is expected; {mend}")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise UserError(f"{printable(path)} has {size} bytes, expected {most} at most; {mend}")
            yield file
    except FileNotFoundError:
        raise UserError(f"{printable(path)} does not exist; {mend}") from None
    except OSError as error:
        raise UserError(f"{printable(path)} cannot be read ({error.strerror or error}); {mend}") from None


def read_file(path: Path, *, most: int = LARGEST, mend: str) -> bytes:
    """The whole content. UserError that ends in `mend` if it cannot be read, or is more than `most` bytes."""
    with opened(path, most=most, mend=mend) as file:
        content = file.read(most + 1)
    if len(content) > most:  # a pipe does not tell its size beforehand
        raise UserError(f"{printable(path)} holds more than {most} bytes; {mend}")
    return content


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, through a file beside it that reaches the disk before it takes the name.

    UserError if the folder cannot be written to, or the disk is full.
    """
    _write(path, content, os.replace)


def create_atomically(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, whole or not at all.

    FileExistsError if it is there: of several processes that try, one succeeds. UserError if it cannot be written.
    """
    _write(path, content, _take_free_name)


def remove_leftovers(path: Path) -> None:
    """Delete what processes that were killed while they wrote `path` left beside it. No other may be writing it."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        leftover.unlink(missing_ok=True)


def _write(path: Path, content: bytes, take_name: Callable[[Path, Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # several processes may write the same file
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        take_name(temporary, path)
        _sync_folder(path.parent)
    except FileExistsError:
        raise
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, and a file is expected; give another name") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); make room, or choose another folder") from None
    finally:
        with suppress(OSError):  # an error is already on its way
            temporary.unlink(missing_ok=True)


def _take_free_name(temporary: Path, path: Path) -> None:
    """Name the file `path` unless that name is taken. FileExistsError if it is."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if path.exists():
            raise FileExistsError(path) from None
        os.replace(temporary, path)


def _sync_folder(folder: Path) -> None:
    """Write a rename to the disk, which is part of the folder. Windows cannot open folders, and does it by itself."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
