"""Checkpoints: one HDF5 file each, with the SHA-256 of all of it in front."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError
from leakysm.files import read_file, write_atomically
from leakysm.hdf5 import Hdf5Error, Node, read_hdf5
from leakysm.seal import BLOCK, is_sealed, sealed

Arrays = dict[str, np.ndarray]
LARGEST = 1 << 30  # bytes of a checkpoint
VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after `episode` training episodes.

    net: Conv4's state. optimizer: its state. inputs: how pixels become the net's input. config: the run's settings, as
    TOML. data_digest: the data set's digest. best_episode and best_accuracy (0 to 100): the best validation so far (-1
    and -1.0 before any). metrics_size and metrics_digest: length and SHA-256 of metrics.csv at this moment. scale: the
    state of the learned scale; empty if there is none. formula: the text of the file that defines the distance; empty
    if the distance has no file of its own, and in checkpoints of older versions.
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
    scale: Arrays = field(default_factory=dict)
    formula: bytes = b""

    @property
    def learned_scale(self) -> float:
        """What distances are multiplied by before the softmax: exp(log_scale), or 1 without a learned scale."""
        return float(np.exp(np.float64(self.scale["log_scale"][0]))) if self.scale else 1.0


GROUPS = ("net", "optimizer", "inputs", "scale")


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically. UserError if the disk does not take it."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=BLOCK) as file:
        file.attrs["format"] = "leakysm checkpoint"
        file.attrs["version"] = VERSION
        for name, value in vars(checkpoint).items():
            if name in GROUPS:
                arrays = value.to_arrays() if isinstance(value, InputFormat) else value
                for key, array in sorted(arrays.items()):  # the same state, the same bytes
                    file[f"{name}/{key}"] = array
            elif name != "formula":
                file.attrs[name] = value
            elif value:  # a text longer than an attribute may be
                file[name] = np.frombuffer(value, np.uint8)
    write_atomically(path, sealed(buffer, "checkpoint"))


def load_checkpoint(path: Path) -> Checkpoint:
    """UserError, in one line, if the file is missing, cut short, altered, or no checkpoint."""
    whole = read_file(path, most=LARGEST, mend="name a run that holds this checkpoint")
    if not is_sealed(whole, "checkpoint"):
        raise UserError(
            f"{path} is damaged, or not a checkpoint: its {len(whole)} bytes do not have the checksum that it states; "
            "put back an undamaged copy, or train again into another folder"
        )
    try:
        file = read_hdf5(whole)
        version = file.attribute("version", int)
        if version == VERSION:
            return _read(file)
    except Hdf5Error as error:
        raise UserError(
            f"{path} is not a complete checkpoint ({error}); put back an undamaged copy, or train into another folder"
        ) from None
    raise UserError(
        f"{path} has format version {version}, this program reads {VERSION}; use the version of leakysm that wrote it"
    )


def _read(file: Node) -> Checkpoint:
    """Hdf5Error if a part is missing or of another type; `sound.require_sound` looks at the values."""
    members = {name: file.group(name) for name in GROUPS if name != "scale" or name in file.names}
    groups: dict[str, Any] = {name: {key: one.data(key) for key in one.names} for name, one in members.items()}
    groups["inputs"] = _inputs(groups["inputs"])
    kinds: dict[str, type] = {"episode": int, "best_episode": int, "metrics_size": int, "best_accuracy": float}
    names = [name for name in Checkpoint.__dataclass_fields__ if name not in (*GROUPS, "formula")]
    attributes = {name: file.attribute(name, kinds.get(name, str)) for name in names}
    formula = file.data("formula").tobytes() if "formula" in file.names else b""
    return Checkpoint(**groups, **attributes, formula=formula)


def _inputs(arrays: Arrays) -> InputFormat:
    """Hdf5Error unless these are the arrays of an InputFormat."""
    expected = {"image_shape": ("i", (3,)), "mean": ("f", None), "std": ("f", None), "ink": ("b", ())}
    for name, (kind, shape) in expected.items():
        array = arrays.get(name)
        if array is None or array.dtype.kind != kind or array.shape != (shape or array.shape):
            held = "missing" if array is None else f"{array.dtype} of shape {array.shape}"
            raise Hdf5Error(f"inputs/{name} is {held}")
    return InputFormat.of_arrays(arrays)
