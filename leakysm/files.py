"""Files read with a bound on their size, and written so that they are whole or not there.

A crash at any moment leaves the old content of a file or the new one, never a part.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from pathlib import Path

from filelock import lock_descriptor

from leakysm.errors import UserError, require_kind

LARGEST = 1 << 30  # bytes of a file that is read whole
PIECE = 1 << 20
SPARE, RATIO = 1 << 26, 32  # bytes that a file may hold when it is unpacked: SPARE, and RATIO for each of its own
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")  # the name of a file until it is complete
LOCKS = os.name == "posix"  # whether a locked file can be read by others, and renamed


class UnwritableError(UserError):
    """A file that the system did not take. reason: in the system's words."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.reason = error.strerror or str(error)
        mend = "make its folder" if isinstance(error, FileNotFoundError) else "make room"
        super().__init__(f"{path}: cannot be written ({self.reason}); {mend}, or choose another folder")


def printable(path: Path | str) -> str:
    """A file's name as text that every output takes: a byte of it that is no UTF-8 becomes \\xNN."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def require_path(name: str, path: object) -> None:
    """UserError unless this is a path, as a text or an object."""
    require_kind(name, path, (str, os.PathLike), "a text or a pathlib.Path is expected: give one")
    if path == "":
        raise UserError(f"{name} is empty; a path is expected: give one, . for the current folder")


def expanded(path: Path | str) -> Path:
    """The path that a user gave, with the home folder in place of `~`. UserError if there is none, or it is no path."""
    require_path("the path", path)
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{printable(path)} needs a home folder, but none is known; give the full path") from None


@contextmanager
def opened(path: Path, *, most: int, mend: str) -> Iterator[BufferedReader]:
    """The file, open for reading. UserError that ends in `mend` if it cannot be read, or holds more than `most` bytes.

    Only a regular file is read: a device may have no end, and a pipe may wait for ever for its first byte.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{printable(path)} is {_kind(status.st_mode)}, and a file is expected; {mend}")
            if status.st_size > most:
                raise _too_large(path, status.st_size, most, mend)
            yield file
    except FileNotFoundError:
        raise UserError(f"{printable(path)} does not exist; {mend}") from None
    except IsADirectoryError:
        raise UserError(f"{printable(path)} is a folder, and a file is expected; {mend}") from None
    except OSError as error:
        raise UserError(f"{printable(path)} cannot be read ({error.strerror or error}); {mend}") from None
    except ValueError as error:  # a NUL in the name
        if isinstance(error, UserError):
            raise
        raise UserError(f"{printable(path)!r} is not a file's name ({error}); {mend}") from None


def read_file(path: Path, *, most: int = LARGEST, mend: str) -> bytes:
    """The whole content. UserError that ends in `mend` if it cannot be read, or is more than `most` bytes."""
    with opened(path, most=most, mend=mend) as file:
        parts = [file.read(os.fstat(file.fileno()).st_size)]
        while part := file.read(PIECE):  # it may grow meanwhile, or the system may not know its size
            parts.append(part)
            if sum(map(len, parts)) > most:
                raise _too_large(path, sum(map(len, parts)), most, mend)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _without_waiting(path: str, flags: int) -> int:
    """A descriptor at once: opening a pipe otherwise waits until somebody writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))
    return next((name for has, name in kinds if has(mode)), "a device")


def _too_large(path: Path, size: int, most: int, mend: str) -> UserError:
    return UserError(f"{printable(path)} has {size} bytes, expected at most {most}; {mend}")


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Replace `path` by `content`, through a file beside it that reaches the disk before it takes the name.

    UserError if the folder cannot be written to, or the disk is full.
    """
    _write(path, content, os.replace)


def create_atomically(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, whole or not at all.

    FileExistsError if it is there: of several processes that try, one succeeds. UserError if it cannot be written.
    """
    _write(path, content, _take_free_name)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, whole or not at all; one that holds this content already is left as it is.

    UserError if another file or a folder is there, or if it cannot be written.
    """
    try:
        create_atomically(path, content)
    except FileExistsError:
        if path.is_dir():
            raise UserError(f"{printable(path)} is a folder, and a file is expected; give another name") from None
        if not _holds(path, content):
            raise UserError(
                f"{printable(path)} exists already and holds something else; give another name, or remove it"
            ) from None


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, for what is renamed to `path` when complete. What is left at the end is deleted.

    OSError if it cannot be made.
    """
    remove_leftovers(path.parent)
    while True:
        folder = _temporary_name(path)
        folder.mkdir()
        lock = os.open(folder, os.O_RDONLY) if LOCKS else None
        if lock is None or _is_held(folder, lock):
            break
        os.close(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files and folders in `folder` of processes that were killed; those in use stay.

    A file that has its final name too is deleted even if locked: the lock may have another reason. On a file system
    without locks nobody knows which are in use, so the others stay.
    """
    with suppress(OSError):  # the folder may not be there, or not be readable: then nothing is lost
        for leftover in [path for path in folder.iterdir() if TEMPORARY.fullmatch(path.name)]:
            with suppress(OSError):
                _remove_unless_locked(leftover)


def _remove_unless_locked(leftover: Path) -> None:
    whole = leftover.is_dir()
    descriptor = os.open(leftover, os.O_RDONLY if whole else os.O_RDWR)
    try:
        named = not whole and os.fstat(descriptor).st_nlink > 1  # it has its final name already
        if named or (LOCKS and lock_descriptor(descriptor, blocking=False)):
            shutil.rmtree(leftover) if whole else leftover.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes | memoryview, take_name: Callable[[Path, Path], None]) -> None:
    remove_leftovers(path.parent)
    temporary = path
    try:
        file, temporary = _temporary_file(path)
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if LOCKS:  # elsewhere an open file cannot be renamed
                take_name(temporary, path)
        if not LOCKS:
            take_name(temporary, path)
        _sync_folder(path.parent)
    except FileExistsError:
        raise
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, and a file is expected; give another name") from None
    except OSError as error:
        raise UnwritableError(path, error) from None
    finally:
        if temporary != path:
            with suppress(OSError):  # an error is already on its way
                temporary.unlink(missing_ok=True)


def _temporary_file(path: Path) -> tuple[BufferedWriter, Path]:
    """A new file beside `path`, locked while it is open, and its name. Several processes may write `path`."""
    while True:
        temporary = _temporary_name(path)
        file = temporary.open("xb")
        if not LOCKS:
            return file, temporary
        try:
            if _is_held(temporary, file.fileno()):
                return file, temporary
        except BaseException:
            file.close()
            temporary.unlink(missing_ok=True)
            raise
        file.close()


def _is_held(temporary: Path, descriptor: int) -> bool:
    """Lock what was just made. False if another process took it for a leftover before it was locked."""
    with suppress(OSError):  # a file system without locks
        lock_descriptor(descriptor, blocking=True)
    return temporary.exists()


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


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
    """Write a rename, a change of the folder, to the disk. Windows cannot open folders, and does it by itself."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
