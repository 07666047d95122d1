"""Prepared images in one HDF5 file, named by the checksum of what they were made from.

The file is made in memory and written atomically: so it is complete or absent, even if several processes write it, or
one is killed.
Whenever it is read, its content is checked against its digest; a damaged file is made anew.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import h5py
from platformdirs import user_cache_path

from leakysm.data.dataset import ClassSet, digest_of, splits_digest
from leakysm.errors import UserError
from leakysm.files import UnwritableError, read_file, write_atomically
from leakysm.hdf5 import Node, read_hdf5
from leakysm.seal import BLOCK, sealed

_FORMAT = 3  # raise it when the file's layout changes, or when the same sources are read differently, or refused
SEAL = "data cache"
_LARGEST = 1 << 36  # bytes of a cache
Splits = dict[str, ClassSet]
_anew: ContextVar[bool] = ContextVar("whether the cache is only written", default=False)


def cache_folder(folder: str | Path | None = None) -> Path:
    """The given folder, else LEAKYSM_CACHE, else `leakysm` in the user's cache folder.

    UserError if that is in a home folder and there is none.
    """
    chosen = folder or os.environ.get("LEAKYSM_CACHE")
    try:
        return Path(chosen).expanduser() if chosen else user_cache_path("leakysm")
    except RuntimeError:
        raise UserError(
            f"the cache folder{f' {chosen}' if chosen else ''} needs a home folder, but none is known; "
            "set LEAKYSM_CACHE to the full path of a folder"
        ) from None


def known_cache_folder() -> Path | None:
    """The cache folder, for optional use; None if it is in a home folder and there is none."""
    try:
        return cache_folder()
    except UserError:
        return None


@contextmanager
def read_anew() -> Iterator[None]:
    """While this is open every data set is read from its sources, and its file in the cache made anew."""
    token = _anew.set(True)
    try:
        yield
    finally:
        _anew.reset(token)


def cached(
    name: str, checksum: str, build: Callable[[], Splits], folder: str | Path | None = None
) -> tuple[Splits, str]:
    """What `build` makes from sources with this checksum, and its digest; read back if it was made before."""
    key = digest_of(f"format {_FORMAT}", name, checksum)
    file = cache_folder(folder) / f"{name}-{key[:16]}.h5"
    kept = None if _anew.get() else _read(file)
    if kept is not None:
        return kept
    splits = build()
    digest = splits_digest(splits)
    try:
        _write(file, splits, digest)
    except OSError as error:
        raise _unwritable(file, error.strerror) from None
    except UnwritableError as error:
        raise _unwritable(file, error.reason) from None
    return splits, digest


def _unwritable(file: Path, reason: str | None) -> UserError:
    return UserError(
        f"{file}: cannot write the cache ({reason}); set LEAKYSM_CACHE to a folder with room that you may write"
    )


def _read(file: Path) -> tuple[Splits, str] | None:
    """The splits and their digest; None if there is no such file, or its content does not have the digest."""
    if not file.exists():
        return None
    try:
        whole = read_hdf5(read_file(file, most=_LARGEST, mend="remove it"), seal=SEAL)
        digest = whole.attribute("digest", str)
        splits = {name: _class_set(whole.group(name)) for name in whole.names}
    except (UserError, ValueError, TypeError):
        return None  # whatever is wrong with a damaged file
    return (splits, digest) if splits_digest(splits) == digest else None


def _class_set(group: Node) -> ClassSet:
    names = tuple(str(name) for name in group.data("names"))
    return ClassSet(group.data("images"), group.data("starts"), names)


def _write(file: Path, splits: Splits, digest: str) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", track_order=True, userblock_size=BLOCK) as h5:
        h5.attrs["digest"] = digest
        for split, one in splits.items():
            group = h5.create_group(split)
            group["images"], group["starts"] = one.images, one.starts
            names = [name.encode("utf-8", "surrogateescape") for name in one.names]  # a folder's name may be any bytes
            group.create_dataset("names", data=names, dtype=h5py.string_dtype())
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, sealed(buffer, SEAL))
