"""Where files come from: a folder or a zip archive, with the same methods. Nothing is ever unpacked to disk."""

from __future__ import annotations

import hashlib
import lzma
import os
import stat
import zipfile
import zlib
from errno import ELOOP, ENOENT
from functools import cached_property
from pathlib import Path
from typing import Protocol

from leakysm.errors import UserError
from leakysm.files import opened, read_file

LARGEST_IMAGE = 1 << 28  # bytes of one file; an archive that claims more is refused before it is inflated
_LARGEST_ARCHIVE = 1 << 36  # bytes
_FILE_MANAGERS_FILES = {"thumbs.db", "desktop.ini", "__macosx"}


class Source(Protocol):
    """Files below one root, named by relative paths with '/'. Hidden files and those of file managers are left out."""

    @property
    def path(self) -> Path: ...

    @property
    def names(self) -> tuple[str, ...]:
        """Sorted."""

    def read(self, name: str) -> bytes:
        """UserError if the file cannot be read. Safe from several threads."""

    def checksum(self) -> str:
        """Changes whenever a file does: of the bytes of a zip; of the paths, sizes, times and inodes in a folder."""


def open_source(path: Path) -> Source:
    """A zip archive or a folder. UserError if it is neither."""
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; give the place of the data with --data")
    return ZipSource(path)


class FolderSource:
    """A folder's files, listed once. UserError if a folder or a file cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _content(self) -> tuple[dict[str, os.stat_result], list[str]]:
        """Every file's state by name, and the folders that hold neither files nor folders."""
        states: dict[str, os.stat_result] = {}
        empty: list[str] = []
        pending = [("", str(self.path))]
        try:
            while pending:
                prefix, folder = pending.pop()
                with os.scandir(folder) as listing:
                    entries = [entry for entry in listing if not _is_hidden(entry.name)]
                if not entries:
                    empty.append(prefix)
                for entry in entries:
                    if entry.is_dir():
                        pending.append((f"{prefix}{entry.name}/", entry.path))
                    else:
                        states[prefix + entry.name] = entry.stat()
        except OSError as error:
            raise UserError(self._unreadable(error)) from None
        return states, empty

    def _unreadable(self, error: OSError) -> str:
        """What cannot be read, and what to do. Names the link itself if it leads to nothing, or in a circle."""
        path = Path(error.filename)
        if error.errno in (ENOENT, ELOOP):
            below = [p for p in (*reversed(path.parents), path) if p != self.path and p.is_relative_to(self.path)]
            links = [p for p in below if p.is_symlink()]
            if links:
                wrong, words = (links[0], "in a circle") if error.errno == ELOOP else (links[-1], "to nothing")
                return f"{wrong} is a link that leads {words}; remove it"
        return f"{path}: {error.strerror}; make the folder readable"

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._content[0]))

    @property
    def empty_folders(self) -> list[str]:
        return self._content[1]

    def read(self, name: str) -> bytes:
        return read_file(self.path / name, most=LARGEST_IMAGE, mend="make the file readable, or remove it")

    def checksum(self) -> str:
        digest = hashlib.sha256()
        for name in self.names:
            stats = self._content[0][name]
            parts = (name, stats.st_size, stats.st_mtime_ns, stats.st_ctime_ns, stats.st_ino, "")
            digest.update("\0".join(map(str, parts)).encode(errors="surrogateescape"))
        return digest.hexdigest()


class ZipSource:
    """A zip archive's files. It is opened at the first read, because a cache needs only its checksum.

    UserError if it is no zip or cut short, or if an entry is encrypted, a link, too large, there twice, or outside the
    archive's own folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        with opened(self.path, most=_LARGEST_ARCHIVE, mend="give a readable zip file"):
            pass  # refuses anything but a file: for a pipe, zipfile would wait
        try:
            return zipfile.ZipFile(self.path)
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}; give a readable zip file") from None
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
            raise UserError(
                f"{self.path} is not a complete zip archive (wrong file, or cut short); download it again"
            ) from None

    @cached_property
    def _entries(self) -> dict[str, zipfile.ZipInfo]:
        admitted: dict[str, zipfile.ZipInfo] = {}
        for entry in self._zip.infolist():
            self._admit(entry, admitted)
        return admitted

    def _admit(self, entry: zipfile.ZipInfo, admitted: dict[str, zipfile.ZipInfo]) -> None:
        parts = entry.filename.replace("\\", "/").split("/")
        where = f"{self.path}: entry '{entry.filename}'"
        if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
            raise UserError(f"{where} points outside the archive's folder; do not trust this archive, get it elsewhere")
        if entry.is_dir() or any(_is_hidden(part) for part in parts):
            return
        if entry.flag_bits & 1:
            raise UserError(f"{where} is encrypted; give an archive without a password")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"{where} is a symbolic link; give an archive that holds the files themselves")
        if entry.file_size > LARGEST_IMAGE:
            raise UserError(f"{where} claims {entry.file_size} bytes, more than {LARGEST_IMAGE}; give single images")
        if entry.header_offset + entry.compress_size > self.path.stat().st_size:  # zipfile allocates it at once
            raise UserError(f"{where} claims more bytes than the archive has; download it again")
        name = "/".join(parts)
        if name in admitted:
            raise UserError(f"{where} is in the archive twice; make the archive again")
        admitted[name] = entry

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._entries))

    def read(self, name: str) -> bytes:
        try:
            return self._zip.read(self._entries[name])
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{self.path}: entry '{name}' is damaged ({error}); download the archive again") from None

    def checksum(self) -> str:
        with opened(self.path, most=_LARGEST_ARCHIVE, mend="give a readable zip file") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _FILE_MANAGERS_FILES
