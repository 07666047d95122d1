"""Conv4's state as PyTorch names and lays it out, both ways.

    ours                          PyTorch: nn.Sequential of blocks nn.Sequential(Conv2d, BatchNorm2d, ReLU, MaxPool2d)
    block1.weight (3, 3, C, F)    encoder.0.0.weight (F, C, 3, 3), and encoder.0.0.bias (F,), all 0
    block1.scale, block1.shift    encoder.0.1.weight, encoder.0.1.bias
    block1.mean, block1.variance  encoder.0.1.running_mean, encoder.0.1.running_var

PyTorch flattens an embedding in the order (channel, row, column), we in (row, column, channel): the same values in
another order, which changes no distance. The names are those in the code of Snell et al.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from leakysm.errors import UserError
from leakysm.nets.conv4 import blocks_of

State = dict[str, np.ndarray]
NORM = {"weight": "scale", "bias": "shift", "running_mean": "mean", "running_var": "variance"}
IGNORED = "num_batches_tracked"  # a count; PyTorch uses it only with momentum=None


def to_torch(
    state: Mapping[str, np.ndarray], *, prefix: str = "encoder.", bias: bool = True, batches: int = 0
) -> State:
    """The arrays of a PyTorch state dict, by name.

    prefix: begins every name. bias: whether to add the convolutions' biases, all 0. batches: `num_batches_tracked`.
    """
    out: State = {}
    for b in range(1, blocks_of(dict(state)) + 1):
        block = f"{prefix}{b - 1}"
        weight = state[f"block{b}.weight"]
        out[f"{block}.0.weight"] = np.ascontiguousarray(weight.transpose(3, 2, 0, 1))  # HWIO -> OIHW
        if bias:
            out[f"{block}.0.bias"] = np.zeros(weight.shape[3], weight.dtype)
        out |= {f"{block}.1.{theirs}": state[f"block{b}.{ours}"] for theirs, ours in NORM.items()}
        out[f"{block}.1.{IGNORED}"] = np.asarray(batches, np.int64)
    return out


def from_torch(state_dict: Mapping[str, Any]) -> State:
    """Conv4's state from a PyTorch state dict of tensors on the CPU, or of arrays.

    As many convolutions as batch norms are expected, whatever their names are. The nth convolution goes with the nth
    batch norm. Names that differ only in numbers are in numeric order; others as the state dict lists them. A
    convolution's bias is subtracted from the running mean: (z + bias) - mean = z - (mean - bias). UserError if the
    arrays are not those of a Conv4, or if their order is in doubt.
    """
    arrays = {name: np.asarray(value) for name, value in state_dict.items() if not name.endswith(IGNORED)}
    convolutions = _modules(arrays, lambda name: name.endswith(".weight") and arrays[name].ndim == 4)
    norms = _modules(arrays, lambda name: name.endswith(".running_mean"))
    if not len(convolutions) == len(norms) > 0:
        raise UserError(
            f"the state dict has {len(convolutions)} convolutions and {len(norms)} batch norms; the same number of "
            "both is expected: give the state dict of a Conv4"
        )
    state: State = {}
    for b, (convolution, norm) in enumerate(zip(convolutions, norms, strict=True), 1):
        weight = arrays.pop(f"{convolution}.weight")
        bias = arrays.pop(f"{convolution}.bias", np.zeros(weight.shape[:1], weight.dtype))
        values = {ours: _taken(arrays, f"{norm}.{theirs}") for theirs, ours in NORM.items()}
        _require_shapes(convolution, norm, weight, [bias, *values.values()], state)
        mean = values["mean"].astype(np.float64) - bias.astype(np.float64)
        values["mean"] = mean.astype(values["mean"].dtype)
        state[f"block{b}.weight"] = np.ascontiguousarray(weight.transpose(2, 3, 1, 0))  # OIHW -> HWIO
        state |= {f"block{b}.{ours}": value for ours, value in values.items()}
    if arrays:
        raise UserError(f"the state dict holds {next(iter(arrays))}, which no Conv4 has; leave it out")
    return state


def _modules(arrays: State, chosen: Any) -> list[str]:
    """The modules that own the chosen arrays, in the order of the net.

    Many programs sort arrays by name, so a sorted list does not show the net's order.
    """
    listed = [name.rpartition(".")[0] for name in arrays if chosen(name)]
    parts = {name: re.split(r"([0-9]{1,9})", name) for name in listed}
    alike = len({tuple(parts[name][::2]) for name in listed}) <= 1  # texts and numbers alternate
    numbered = sorted(listed, key=lambda name: [int(part) for part in parts[name][1::2]]) if alike else listed
    silent = listed == sorted(listed)
    if (silent and not alike) or listed not in (numbered, sorted(listed)):
        raise UserError(
            f"the order of the layers {', '.join(listed)} is unknown; number their names in the order of the net, "
            "e.g. 1.weight, 2.weight"
        )
    return numbered


def _taken(arrays: State, name: str) -> np.ndarray:
    if name not in arrays:
        raise UserError(f"the state dict has no {name}; expected a batch norm with weight, bias and running statistics")
    return arrays.pop(name)


def _require_shapes(convolution: str, norm: str, weight: np.ndarray, vectors: list[np.ndarray], before: State) -> None:
    """A 3x3 convolution from the channels of the block before; one value a channel in bias and batch norm."""
    F, C = weight.shape[:2]
    channels = before["block1.weight"].shape[3] if before else F
    expected = (channels, channels if before else C, 3, 3)
    if weight.shape != expected:
        raise UserError(f"{convolution}.weight has shape {weight.shape}; expected {expected}: give a Conv4's")
    for vector in vectors:
        if vector.shape != (F,):
            raise UserError(f"{norm} or the bias before it has shape {vector.shape}; expected ({F},): give a Conv4's")
