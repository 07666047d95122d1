"""The files of reference vectors: a flat mapping of paths to arrays and attributes, read, written and digested.

A digest is taken over contents, not over the file: another version of HDF5 changes every byte of a file.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.errors import CheckFailed, UserError
from leakysm.files import write_atomically
from leakysm.strict_json import json_text

FORMAT = 2  # changes when a reader would have to
OLDER = (1,)  # read for ever: `older.upgraded` says the same in today's format
MANIFEST = "manifest.json"
SCALARS = ("worst", "usual", "k", "n")  # k and n: format 1
OPERATIONS, NETS = "operations.h5", "nets.h5"
MEND = "reinstall leakysm, or name another folder"


@dataclass
class Group:
    """One case: arrays by path, and attributes that belong to the contents or, like flags and note, describe it."""

    arrays: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    description: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def digest(self) -> str:
        """SHA-256 over `path|dtype|shape|` and the little-endian bytes of every array and content text, by path."""
        total = hashlib.sha256()
        for path, array in sorted([*self.arrays.items(), *((f"@{n}", _text(t)) for n, t in self.contents.items())]):
            plain = np.ascontiguousarray(array)
            shape = ",".join(map(str, array.shape))
            total.update(f"{path}|{array.dtype.str}|{shape}|".encode() + plain.tobytes())
        return total.hexdigest()


def _text(text: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def folder() -> Path:
    """Where the shipped vectors are."""
    return Path(str(resources.files("leakysm.reference_data")))


def write(path: Path, groups: Mapping[str, Group]) -> None:
    """All groups into one file, which appears whole or not at all."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("v108", "v108")) as file:  # its groups take a third of the room
        file.attrs["format"] = FORMAT
        for name, group in groups.items():
            node = file.create_group(name)
            node.attrs.update({**group.contents, **group.description})
            node.attrs["contents"] = ",".join(sorted(group.contents))
            for key, array in group.arrays.items():
                _put(node, key, array)
    write_atomically(path, buffer.getvalue())


def _put(node: Any, key: str, array: np.ndarray[Any, Any]) -> None:
    """A factor is an attribute of its result's group, which takes a tenth of a dataset's room."""
    parent, _, last = key.rpartition("/")
    if last in SCALARS:
        node.require_group(parent).attrs[last] = array
    else:
        large = array.size > 256
        node.create_dataset(key, data=array, compression="gzip" if large else None, shuffle=large)


def _arrays(node: Any, at: str = "") -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Every array below a group of the file, by its path, and the factors that are attributes of its groups.

    The file has 12,000 objects: h5py's low-level interface reads them in two thirds of the time.
    """
    from h5py import h5a, h5d, h5o, h5s

    for name in node:
        key, child = at + name.decode(), h5o.open(node, name)
        if isinstance(child, h5d.DatasetID):
            array = np.empty(child.shape, child.dtype)
            if array.size:
                child.read(h5s.ALL, h5s.ALL, array)
            yield key, array
        else:
            attributes = {h5a.open(child, index=i).name.decode(): i for i in range(h5a.get_num_attrs(child))}
            for factor in (name for name in SCALARS if name in attributes):
                attribute = h5a.open(child, index=attributes[factor])
                value = np.empty(attribute.shape, attribute.dtype)
                attribute.read(value)
                yield f"{key}/{factor}", value
            yield from _arrays(child, f"{key}/")


def read(path: Path, operation: str | None = None, *, arrays: bool = True) -> dict[str, Group]:
    """All groups of a file, or of one operation in it, in the order of their names, as they are stored.

    arrays: False leaves them out, which is quicker.
    """
    import h5py

    if not path.is_file():
        raise UserError(f"{path} is missing; a file of reference vectors is expected: {MEND}")
    try:
        with h5py.File(path, "r", driver="core", backing_store=False) as file:
            _require_known(path, file.attrs.get("format"))
            return dict(_groups(file, operation, arrays))
    except (OSError, RuntimeError, KeyError) as problem:  # h5py has no error of its own
        raise CheckFailed(f"{path} cannot be read ({problem}); an HDF5 file is expected: {MEND}") from None


def _require_known(path: Path, found: Any) -> None:
    if found not in (*OLDER, FORMAT):
        known = f"{', '.join(map(str, OLDER))} or {FORMAT}"
        raise UserError(f"{path} has format {found}; {known} is expected: update leakysm")


def _groups(file: Any, operation: str | None, arrays: bool) -> Iterator[tuple[str, Group]]:
    names = [f"{top}/{case}" for top in file if operation in (None, top) for case in file[top]]
    for name in names:
        node = file[name]
        inside = set(filter(None, str(node.attrs["contents"]).split(",")))
        texts = {key: str(value) for key, value in node.attrs.items() if key != "contents"}
        group = Group(
            contents={key: text for key, text in texts.items() if key in inside},
            description={key: text for key, text in texts.items() if key not in inside},
            format=int(file.attrs["format"]),
        )
        if arrays:
            group.arrays = dict(_arrays(node.id))
        yield name, group


def file_sha256(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"{path} is missing; a file of reference vectors is expected: {MEND}")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_manifest(where: Path) -> dict[str, Any]:
    """The manifest of a folder of vectors."""
    path = where / MANIFEST
    if not path.is_file():
        raise UserError(f"{path} is missing; the manifest of the reference vectors is expected: {MEND}")
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        whole = isinstance(found["version"], str) and all(isinstance(f["cases"], dict) for f in found["files"].values())
        if not whole:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CheckFailed(f"{path} is damaged; the vectors' manifest is expected: {MEND}") from None
    _require_known(path, found.get("format"))
    return found


def write_manifest(where: Path, manifest: Mapping[str, Any]) -> None:
    write_atomically(where / MANIFEST, (json_text(manifest, indent=1) + "\n").encode())
