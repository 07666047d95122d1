"""A trained Conv4's weights in files that other programs read: safetensors or npz, our names or PyTorch's."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.util import decode_source
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.errors import UserError
from leakysm.exchange import safetensors
from leakysm.exchange.torch_layout import from_torch
from leakysm.files import read_file, write_new
from leakysm.nets.conv4 import blocks_of, require_state
from leakysm.numpy_files import NumpyFileError, read_npz
from leakysm.runs.restore import Stored
from leakysm.runs.settings import formula_text
from leakysm.strict_json import json_text

State = dict[str, np.ndarray]
LARGEST = 1 << 30  # bytes of a file of weights
SUFFIXES = (".safetensors", ".npz")
FLATTENED = {"leakysm": "row, column, channel", "torch": "channel, row, column"}


def metadata(run: Stored, layout: str) -> dict[str, str]:
    """The metadata of a safetensors file: what must be known of the net besides its weights, as texts, lists as JSON.

    `scale`: the learned scale of the distances, if the run has one; no embedding depends on it. `config`: the run's
    settings as TOML, with its distance and that distance's parameters. `formula`: the text of the file that defines
    the distance, if it is a user's own; its SHA-256 stands in `config`.
    The net's input is (pixels / 255 - mean) / std. `ink`: dark strokes on light paper were stored as 255 - grey.
    """
    inputs = run.checkpoint.inputs.to_arrays()
    return {
        "format": "pt" if layout == "torch" else "np",
        "net": run.config.net or "Conv4",
        "embedding_order": FLATTENED[layout],
        **{name: json_text(array.tolist()) for name, array in inputs.items()},
        **({"scale": str(run.checkpoint.learned_scale)} if run.config.learn_scale else {}),
        **({"formula": decode_source(formula_text(run.config))} if formula_text(run.config) else {}),
        "training_episodes": str(run.checkpoint.episode),
        "config": run.config.to_toml(),
    }


def write_weights(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
    """Write a file in the format of its name's ending; npz has no place for `about`.

    UserError for another ending, or if the file is there already and holds something else.
    """
    require_suffix(path)
    if path.suffix == ".safetensors":
        content = safetensors.dump(arrays, about)
    else:
        buffer = io.BytesIO()
        np.savez(buffer, **dict[str, Any](arrays))
        content = buffer.getvalue()
    write_new(path, content)


def read_weights(path: Path) -> State:
    """Conv4's state from a safetensors or npz file with our names, or with a PyTorch state dict.

    UserError if it holds anything else.
    """
    require_suffix(path)
    arrays = _read(path)
    try:
        _require_numbers(arrays)
        if "block1.weight" not in arrays or "block1.scale" not in arrays:
            arrays = from_torch(arrays)
        check_state(arrays)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return arrays


def _require_numbers(arrays: State) -> None:
    """UserError unless every array holds real numbers within float32; integers are for counts of batches."""
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise UserError(f"{name} has dtype {array.dtype}; real numbers are expected: convert it")
        if array.size and np.abs(array).max() > np.finfo(np.float32).max:
            raise UserError(f"{name} holds numbers beyond float32; use weights from before training went wrong")


def check_state(state: State) -> None:
    """UserError unless this is the state of a Conv4, with finite numbers and no negative variance."""
    shape = state["block1.weight"].shape if "block1.weight" in state else ()
    if 0 in shape:
        raise UserError(f"block1.weight has shape {shape}, which holds no number: export the net again")
    _, _, C, F = shape if len(shape) == 4 else (3, 3, 1, 1)
    require_state(state, C, F, blocks_of(state))
    for name, array in state.items():
        if not np.isfinite(array).all():
            raise UserError(f"{name} holds numbers that are not finite; use weights from before training went wrong")
        if name.endswith("variance") and (array < 0).any():
            raise UserError(
                f"{name} holds negative numbers; variances of at least 0 are expected: export the net again"
            )


def require_suffix(path: Path) -> None:
    """UserError unless the name's ending is one of SUFFIXES."""
    if path.suffix not in SUFFIXES:
        mend = "choose one of them"
        if path.suffix in (".pt", ".pth"):
            mend = "a pickle can run code: in PyTorch, save the state dict by safetensors.torch.save_file"
        raise UserError(f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}; {mend}")


def _read(path: Path) -> State:
    content = read_file(path, most=LARGEST, mend="name a file of weights")
    if path.suffix == ".safetensors":
        return safetensors.load(content, str(path))[0]
    try:
        return read_npz(content)
    except NumpyFileError as error:
        raise UserError(f"{path} is not a complete npz file of numbers ({error}); save it by numpy.savez") from None
