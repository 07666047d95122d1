"""Blocks that Winograd's convolution takes: 16 channels and more, images of 6x6 and more."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.verify.case import DTYPES, Case
from leakysm.verify.cases.numbers import cotangent, noise, single, whole


def winograd_block_cases() -> list[Case]:
    """Cases of conv_block; float32 holds all of their numbers."""

    def case(name: str, x: Any, w: Any, flags: tuple[str, ...], note: str, scale: Any = None, **more: Any) -> Case:
        f = w.shape[-1]
        scale = np.ones(f) if scale is None else np.asarray(scale)
        dy = cotangent(name, (x.shape[0], x.shape[1] // 2, x.shape[2] // 2, f), x, w)
        arguments = (x, w, scale, noise(f"shift {name}", f))
        return Case("conv_block", f"winograd-{name}", arguments, dy, {}, flags, note, stored=False, **more)

    def weights(c: int, f: int) -> Any:
        return noise(f"winograd w{c}{f}", 3, 3, c, f)

    def pixels(*shape: int) -> Any:
        return noise(f"winograd x{shape}", *shape)

    x, w = pixels(1, 6, 6, 16), weights(16, 3)
    spikes = np.where(pixels(1, 6, 8, 16) > 0.9, 2.0**10, pixels(1, 6, 8, 16))
    return [
        case("plain", pixels(2, 6, 6, 16), w, ("plain",), "numbers of float32"),
        case("odd", pixels(1, 7, 9, 16), weights(16, 2), ("odd",), "tiles hang over on both sides"),
        case("signs", x, weights(16, 4), ("zero-scale",), "scales of both signs, and 0", [-1.5, 0.0, 0.5, -0.25]),
        case("ties", whole("winograd ties", 1, 6, 6, 16, low=0, high=1), whole("winograd tw", 3, 3, 16, 2, low=-1, high=1), ("ties",), "small integers: equal values within windows"),
        case("channels", pixels(1, 6, 6, 64), weights(64, 2), ("wide",), "64 channels"),
        case("filters", x, weights(16, 17), ("wide",), "17 filters"),
        case("spikes", spikes, w, ("mixed",), "large pixels beside small ones, whose error they carry into a whole tile"),
        case("large-mean", single(50 + x), abs(w), ("large-mean",), "outputs far from 0, of which tiles take differences"),
        case("equal", np.full((2, 6, 6, 16), single(0.7)), np.full((3, 3, 16, 2), single(0.3)), ("constant", "ties"), "all roundings go one way", one_way=DTYPES),
        case("tiny", single(x * 1e-30), single(w * 1e-10), ("subnormal",), "products below the smallest normal number"),
    ]  # fmt: skip
