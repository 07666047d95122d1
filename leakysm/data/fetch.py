"""Download Omniglot's published archives. A broken transfer is resumed; an archive gets its name once it is checked."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from leakysm.data.folder_or_zip import ZipSource
from leakysm.errors import CheckFailed, UserError

PUBLISHED = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
_CHUNK = 1 << 16
_TIMEOUT = 30  # seconds without a byte
Progress = Callable[[str, int, int | None], None]  # archive, bytes so far, bytes in all (None if unknown)


@dataclass(frozen=True)
class Archive:
    """A published archive. place: its path below the address. md5: as published. images: `images_digest`, which
    stays the same if an archive is packed again.

    Where md5 and images are not known, the archive is checked only by its own CRCs.
    """

    place: str
    md5: str | None = None
    images: str | None = None

    @property
    def name(self) -> str:
        return self.place.rsplit("/", 1)[-1]


ARCHIVES = (
    Archive(
        "images_background.zip",
        "68d2efa1b9178cc56df9314c21c6e718",
        "07356096b8076fcf915341f8715e94822249e2a4d5b999fd2d0f6cf9ebffebd5",
    ),
    Archive(
        "images_evaluation.zip",
        "6b91aef0f799c5bb55b94e3f2daec811",
        "f5165eb5f20d18e13c6515650b69a42a2c0507506969d410ba5e4a1c572bd542",
    ),
)
EXTRAS = (
    Archive("images_background_small1.zip"),
    Archive("images_background_small2.zip"),
    Archive("one-shot-classification/all_runs.zip"),
)


def fetch(
    folder: Path,
    archives: Sequence[Archive] = ARCHIVES,
    *,
    mirror: str = PUBLISHED,
    progress: Progress | None = None,
) -> list[Path]:
    """Put the archives into `folder`; those that are there and pass their check are left alone.

    UserError if the address cannot be reached, or the transfer breaks off; the next call goes on from the bytes that
    came. CheckFailed if what arrived is not the published data; it is removed.
    """
    if not _is_web_address(mirror):
        raise UserError(f"the mirror '{mirror}' is not a web address; expected https://...")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_fetch_one(folder, archive, mirror.rstrip("/"), progress) for archive in archives]
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}); choose another folder") from None


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("https", "http") and bool(parts.hostname)


def _fetch_one(folder: Path, archive: Archive, mirror: str, progress: Progress | None) -> Path:
    """The archive's file, downloaded and checked under another name before it gets its own."""
    target = folder / archive.name
    if target.exists():
        _check(archive, target, f"{target}", "remove it and fetch it again")
        return target
    address = f"{mirror}/{archive.place}"
    part = folder / f"{archive.name}.part"
    resumed = part.exists() and part.stat().st_size > 0
    _download(address, part, lambda done, total: progress(archive.name, done, total) if progress else None)
    try:
        _check(archive, part, address, "it was removed; give another --mirror, or download it by hand")
    except (CheckFailed, UserError):
        part.unlink()
        if not resumed:
            raise
        return _fetch_one(folder, archive, mirror, progress)  # the part that was there belonged to another file
    os.replace(part, target)
    return target


def _download(address: str, part: Path, progress: Callable[[int, int | None], None]) -> None:
    """Append to `part` the bytes that it lacks."""
    done = part.stat().st_size if part.exists() else 0
    response = _open(address, done)
    if response is None:
        return
    with response:
        if response.status != 206:  # a server that knows no ranges sends the whole file
            done = 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length and length.isdecimal() else None
        with part.open("ab" if done else "wb") as file:
            while chunk := _receive(response, address, done, total):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
    if total is not None and done < total:
        raise _broken_off(address, done, total)


def _open(address: str, start: int) -> Any:
    """The server's answer, from byte `start` on if the server can do that; None if the file ends there."""
    headers = {"User-Agent": "leakysm", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and start:
                return None
            raise UserError(
                f"{address}: the server answers {error.code} {error.reason}; give another --mirror, "
                "or download it by hand"
            ) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UserError(
            f"{address} cannot be reached ({getattr(error, 'reason', error)}); check the network, "
            "give another --mirror, or download it by hand"
        ) from None


def _receive(response: Any, address: str, done: int, total: int | None) -> bytes:
    try:
        return bytes(response.read(_CHUNK))
    except (OSError, http.client.HTTPException):
        raise _broken_off(address, done, total) from None


def _broken_off(address: str, done: int, total: int | None) -> UserError:
    of = f" of {total}" if total is not None else ""
    return UserError(f"{address} broke off after {done}{of} bytes; run the command again to go on from there")


def _check(archive: Archive, file: Path, where: str, mend: str) -> None:
    """CheckFailed unless the file holds the published data, UserError if it is no sound zip at all."""
    with file.open("rb") as stream:
        md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 == archive.md5:
        return
    try:
        digest = images_digest(file)
    except UserError:
        raise UserError(
            f"{where} is not an intact zip archive, expected the published {archive.name}; {mend}"
        ) from None
    if archive.images is not None and digest != archive.images:
        raise CheckFailed(
            f"{where} is not the published {archive.name}: MD5 {md5}, expected {archive.md5}, and other images; {mend}"
        )


def images_digest(file: Path) -> str:
    """SHA-256 over name and bytes of every image in a zip, whatever its order and compression."""
    source = ZipSource(file)
    digest = hashlib.sha256()
    for name in source.names:
        digest.update(f"{name}\0".encode() + hashlib.sha256(source.read(name)).digest())
    return digest.hexdigest()
