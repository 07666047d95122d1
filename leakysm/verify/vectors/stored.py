"""Read, write and digest the files of reference vectors: flat mappings of paths to arrays and attributes.

A digest is taken over contents, not over the file: another version of HDF5 changes every byte of a file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.errors import CheckFailed, UserError
from leakysm.files import read_file, write_atomically
from leakysm.hdf5 import Hdf5Error, Node, read_hdf5
from leakysm.small_texts import parse_json
from leakysm.strict_json import json_text

FORMAT = 2  # changes when readers must change too
OLDER = (1,)  # read for ever: `older.upgraded` converts them
MANIFEST = "manifest.json"
SCALARS = ("worst", "usual", "k", "n")  # k and n: format 1
OPERATIONS, NETS = "operations.h5", "nets.h5"
LARGEST = 1 << 28  # bytes of a file of vectors, or of the arrays in it
TEXTS, LATER_TEXTS = ("parameters", "dtypes", "flags", "note"), ("one_way", "own")  # of every case; since format 2
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
    """Write all groups to one file, which appears whole or not at all."""
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
    """Write one array. A factor becomes an attribute of its group, which takes a tenth of a dataset's space."""
    parent, _, last = key.rpartition("/")
    if last in SCALARS:
        node.require_group(parent).attrs[last] = array
    else:
        large = array.size > 256
        node.create_dataset(key, data=array, compression="gzip" if large else None, shuffle=large)


def _arrays(node: Node, at: str = "") -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Every array below a group of the file, by its path, and the factors that are attributes of its groups."""
    for name, child in node.members.items():
        key = at + name
        if child.array is not None:
            yield key, child.array
            continue
        for factor in (name for name in SCALARS if name in child.attributes):
            value = child.attributes[factor]
            if not isinstance(value, np.ndarray):
                raise Hdf5Error(f"{key}/{factor} is a text, and a number is expected")
            yield f"{key}/{factor}", value
        yield from _arrays(child, f"{key}/")


def read(path: Path, operation: str | None = None, *, arrays: bool = True) -> dict[str, Group]:
    """All groups of a file, or of one operation in it, in the order of their names, as they are stored.

    arrays: False leaves the arrays out, which is faster.
    """
    content = _content(path)
    try:
        file = read_hdf5(content, only=None if operation is None else (operation,), depth=None if arrays else 2)
        _require_known(path, file.attributes.get("format"))
        return dict(_groups(file, arrays))
    except Hdf5Error as problem:
        raise CheckFailed(f"{path} cannot be read ({problem}); an HDF5 file is expected: {MEND}") from None


def _require_known(path: Path, stated: Any) -> None:
    value = stated.item() if isinstance(stated, np.ndarray) and stated.ndim == 0 else stated
    if type(value) is not int or value not in (*OLDER, FORMAT):
        known = f"{', '.join(map(str, OLDER))} or {FORMAT}"
        raise UserError(f"{path} has format {value}; {known} is expected: update leakysm")


def _groups(file: Node, arrays: bool) -> Iterator[tuple[str, Group]]:
    version = file.attribute("format", int)
    for top in file.members:
        cases = file.group(top)
        for case in cases.members:
            node = cases.group(case)
            inside = set(filter(None, node.attribute("contents", str).split(",")))
            texts = {key: node.attribute(key, str) for key in node.attributes if key != "contents"}
            _require_texts(f"{top}/{case}", texts, version)
            yield (
                f"{top}/{case}",
                Group(
                    dict(_arrays(node)) if arrays else {},
                    contents={key: text for key, text in texts.items() if key in inside},
                    description={key: text for key, text in texts.items() if key not in inside},
                    format=version,
                ),
            )


def _require_texts(case: str, texts: Mapping[str, str], version: int) -> None:
    """Hdf5Error unless a case has the attributes that every case has."""
    for key in (*TEXTS, *(LATER_TEXTS if version == FORMAT else ())):
        if key not in texts:
            raise Hdf5Error(f"{case} lacks the attribute {key}")
    try:
        if isinstance(parse_json(texts["parameters"].encode()), dict):
            return
    except ValueError:
        pass
    raise Hdf5Error(f"the attribute parameters of {case} is no JSON object")


def file_sha256(path: Path) -> str:
    return hashlib.sha256(_content(path)).hexdigest()


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"{path} is missing; a file of reference vectors is expected: {MEND}")
    return read_file(path, most=LARGEST, mend=MEND)


def read_manifest(where: Path) -> dict[str, Any]:
    """The manifest of a folder of vectors."""
    path = where / MANIFEST
    if not path.is_file():
        raise UserError(f"{path} is missing; the manifest of the reference vectors is expected: {MEND}")
    try:
        manifest: dict[str, Any] = parse_json(read_file(path, most=LARGEST, mend=MEND))
        cases = [f["cases"] for f in manifest["files"].values()]
        whole = isinstance(manifest["version"], str) and all(isinstance(case, dict) for case in cases)
        if not whole:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        if isinstance(problem, UserError):
            raise
        raise CheckFailed(f"{path} is damaged; the vectors' manifest is expected: {MEND}") from None
    _require_known(path, manifest.get("format"))
    return manifest


def write_manifest(where: Path, manifest: Mapping[str, Any]) -> None:
    write_atomically(where / MANIFEST, (json_text(manifest, indent=1) + "\n").encode())
