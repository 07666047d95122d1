"""Whole batches of images with Conv4's 64 channels, more than a million numbers, of which one channel is looked at.

What is cut into parts, or leaves a cache, for many numbers alone shows only there. Not in the reference vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from leakysm.verify.case import Case
from leakysm.verify.cases.contrasts import changed
from leakysm.verify.cases.equal import plain_case
from leakysm.verify.cases.numbers import noise
from leakysm.verify.sample import ChannelSample

_IMAGES = (24, 28, 28)  # images, rows, columns
_POOLED = (24, 14, 14)
_CHANNELS = 64
_LOOKED_AT = np.array([62])
_RESULTS = {  # the shape of the result, if it is that of an operation on images
    "conv2d": _IMAGES,
    "relu": _IMAGES,
    "max_pool2d": _POOLED,
    "batch_norm": _IMAGES,
    "batch_norm_inference": _IMAGES,
    "conv_block": _POOLED,
    "conv_block_inference": _POOLED,
}


def of(operation: str, cases: Sequence[Case]) -> Iterator[Case]:
    """The case of an operation on images, as a change of its first plain case."""
    if operation not in _RESULTS:
        return
    plain, convolves = plain_case(cases), "conv" in operation
    # Products of numbers with so few bits are exact in float32, and no two values of a window are near each other.
    values: dict[int, Any] = {0: noise(f"batch of {operation}/23", *_IMAGES, 2 if convolves else _CHANNELS, bits=11)}
    dy = noise(f"batch {operation} dy/23", *_RESULTS[operation], _CHANNELS, bits=11)
    if convolves:
        others = np.isin(np.arange(_CHANNELS), _LOOKED_AT, invert=True)
        dy[..., others] = 0
    for at, argument in enumerate(plain.definition.arguments[1:], start=1):
        kernel = (3, 3, 2) if argument.name == "w" else ()
        values[at] = noise(f"batch {operation} {argument.name}/23", *kernel, _CHANNELS, bits=8)
        values[at] += 1.5 * (argument.name in ("scale", "variance"))
        values[at] /= 4 if argument.name == "shift" else 1  # so that ReLU cuts off neither all nor nothing
    note = f"a batch of {_IMAGES[0]} images of {_IMAGES[1]}x{_IMAGES[2]}, {_CHANNELS} channels"
    batch = changed(plain, "whole-batch", values | {-1: dy}, note, ("size",))
    yield replace(batch, sample=ChannelSample(_LOOKED_AT))
