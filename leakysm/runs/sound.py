"""Check whether the content of a checkpoint is plausible, also if a file was altered and given a correct digest."""

from __future__ import annotations

import math

import numpy as np

from leakysm.errors import UserError
from leakysm.nets.conv4 import require_state
from leakysm.optim import OPTIMIZERS
from leakysm.runs.checkpoint import Checkpoint

LARGEST_IMAGE = 1 << 26  # numbers
Array = np.ndarray


def require_sound(
    checkpoint: Checkpoint, optimizer: str, conv4: tuple[int, int] | None, learn_scale: bool = False
) -> None:
    """UserError for the first value that no run with this optimizer writes. It names the value, not the file.

    conv4: channels and blocks of the run's Conv4. None if its net is somebody's own, of which only the numbers can be
    looked at. learn_scale: whether the run has a learned scale.
    """
    _require_inputs(checkpoint)
    channels = checkpoint.inputs.image_shape[2]
    _require_counts(checkpoint)
    for name, array in checkpoint.net.items():
        _require_floats(name, array)
    size = _require_net(checkpoint.net, channels, *conv4) if conv4 else None
    names = OPTIMIZERS[optimizer].slot_names
    _require_slots(checkpoint.optimizer, checkpoint.episode, names, size)
    _require_scale(checkpoint, names, learn_scale)


def _require_inputs(checkpoint: Checkpoint) -> None:
    inputs = checkpoint.inputs
    if min(inputs.image_shape) < 1 or math.prod(inputs.image_shape) > LARGEST_IMAGE:
        raise _odd("image_shape", inputs.image_shape, f"(height, width, channels), at most {LARGEST_IMAGE} numbers")
    for name, array in (("mean", inputs.mean), ("std", inputs.std)):
        if array.shape != inputs.image_shape[2:] or not np.isfinite(array).all():
            raise _odd(name, array.tolist(), "a finite number for each channel")
    if (inputs.std <= 0).any():
        raise _odd("std", inputs.std.tolist(), "numbers above 0")


def _require_counts(checkpoint: Checkpoint) -> None:
    episode, best = checkpoint.episode, checkpoint.best_episode
    if not 0 <= episode < 1 << 62:
        raise _odd("episode", episode, "a number of at least 0")
    if best < -1:
        raise _odd("best_episode", best, "an episode, or -1")
    if not -1 <= checkpoint.best_accuracy <= 100:
        raise _odd("best_accuracy", checkpoint.best_accuracy, "a percentage, or -1")
    if checkpoint.metrics_size < 0:
        raise _odd("metrics_size", checkpoint.metrics_size, "a number of bytes")


def _require_net(net: dict[str, Array], in_channels: int, channels: int, blocks: int) -> int:
    """UserError unless this is that Conv4's state, without negative variances. Returns its number of parameters."""
    require_state(net, in_channels, channels, blocks)
    for name, array in net.items():
        if name.endswith("variance") and (array < 0).any():
            raise _odd(name, float(array.min()), "variances of at least 0")
    return sum(array.size for name, array in net.items() if not name.endswith(("mean", "variance")))


def _require_scale(checkpoint: Checkpoint, names: tuple[str, ...], learn_scale: bool) -> None:
    """UserError unless the learned scale and its optimizer's state are there; or nothing, if the run has none."""
    scale = dict(checkpoint.scale)
    if not learn_scale:
        if scale:
            raise _odd("scale", sorted(scale), "nothing: the run has no learned scale")
        return
    log_scale = scale.pop("log_scale", None)
    if log_scale is None or log_scale.shape != (1,):
        raise _odd("log_scale", None if log_scale is None else f"of shape {log_scale.shape}", "(1,)")
    _require_floats("log_scale", log_scale)
    _require_slots(scale, checkpoint.episode, names, 1)


def _require_slots(slots: dict[str, Array], episode: int, names: tuple[str, ...], size: int | None) -> None:
    """UserError unless the optimizer's state goes with the net and with the number of episodes."""
    slots = dict(slots)
    steps = slots.pop("steps", None)
    if steps is None or steps.shape != () or steps.dtype.kind != "i" or int(steps) != episode:
        raise _odd("steps", None if steps is None else steps.tolist(), f"the number of episodes, {episode}")
    expected = set(names) if episode else set()
    if set(slots) != expected:
        raise _odd("optimizer", sorted(slots), f"{sorted(expected)}")
    for name, array in slots.items():
        if array.ndim != 1 or array.size != (size or array.size):
            raise _odd(name, f"of shape {array.shape}", f"({size or 'P'},)")
        _require_floats(name, array)
        if name == "second_moment" and (array < 0).any():
            raise _odd(name, float(array.min()), "numbers of at least 0")


def _require_floats(name: str, array: Array) -> None:
    if array.dtype.kind != "f":
        raise _odd(name, f"{array.dtype}", "floats")
    if not np.isfinite(array).all():
        raise _odd(name, "not finite", "finite numbers")


def _odd(name: str, value: object, expected: str) -> UserError:
    return UserError(f"{name} is {value}, expected {expected}")
