"""Checkpoints: one HDF5 file each, behind a 512-byte block that holds the SHA-256 of all the rest.

The block is HDF5's own "user block", which HDF5 leaves to the application, so any HDF5 reader opens the file. A file
cut short or with any byte altered is recognised before HDF5 looks at it.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError
from leakysm.files import read_file, write_atomically

Arrays = dict[str, np.ndarray]
BLOCK = 512
VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after `episode` training episodes.

    net: Conv4's state. optimizer: its state. inputs: how pixels become the net's input. config: the run's settings, as
    TOML. data_digest: the data set's digest. best_episode and best_accuracy (0 to 100): the best validation so far (-1
    and -1.0 before any). metrics_size and metrics_digest: length and SHA-256 of metrics.csv at this moment.
    """

    episode: int
    net: Arrays
    optimizer: Arrays
    inputs: InputFormat
    config: str
    data_digest: str
    best_episode: int
    best_accuracy: float
    metrics_size: int
    metrics_digest: str


GROUPS = ("net", "optimizer", "inputs")


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically. UserError if the disk does not take it."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=BLOCK) as file:
        file.attrs["format"] = "leakysm checkpoint"
        file.attrs["version"] = VERSION
        for name, value in vars(checkpoint).items():
            if name not in GROUPS:
                file.attrs[name] = value
                continue
            arrays = value.to_arrays() if isinstance(value, InputFormat) else value
            for key, array in sorted(arrays.items()):  # the same state, the same bytes
                file[f"{name}/{key}"] = array
    content = buffer.getvalue()[BLOCK:]
    write_atomically(path, _block(content) + content)


def load_checkpoint(path: Path) -> Checkpoint:
    """UserError, in one line, if the file is missing, cut short, altered, or no checkpoint."""
    whole = read_file(path, mend="name a run that holds this checkpoint")
    if whole[:BLOCK] != _block(whole[BLOCK:]):
        raise UserError(
            f"{path} is damaged or no checkpoint: its {len(whole)} bytes do not have the checksum that it states; "
            "put back an undamaged copy, or train again into another folder"
        )
    with h5py.File(io.BytesIO(whole), "r") as file:
        if file.attrs["version"] != VERSION:
            raise UserError(
                f"{path} has format version {file.attrs['version']}, this program reads {VERSION}; use the version "
                "of leakysm that wrote it"
            )
        return _read(file)


def _read(file: Any) -> Checkpoint:
    groups: dict[str, Any] = {name: {key: item[()] for key, item in file[name].items()} for name in GROUPS}
    groups["inputs"] = InputFormat.of_arrays(groups["inputs"])
    kinds = {"episode": int, "best_episode": int, "metrics_size": int, "best_accuracy": float}
    names = [name for name in Checkpoint.__dataclass_fields__ if name not in GROUPS]
    return Checkpoint(**groups, **{name: kinds.get(name, str)(file.attrs[name]) for name in names})


def _block(content: bytes) -> bytes:
    line = f"leakysm checkpoint; SHA-256 of the bytes after {BLOCK}: {hashlib.sha256(content).hexdigest()}\n"
    return line.encode().ljust(BLOCK, b"\0")
