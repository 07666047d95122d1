"""What an engine's fast pairs check before they compute: shapes, dtypes, batch size. All raise UserError."""

from __future__ import annotations

import math

from leakysm.errors import UserError
from leakysm.ops.arrays import Array, require_shape, working
from leakysm.ops.batch_norm import checked_eps

CONVOLUTIONS = ("conv2d", "conv_block", "conv_block_inference")


def check_convolution(x: Array, w: Array) -> None:
    """One float dtype; x (N, H, W, C), w (3, 3, C, F)."""
    working(x=x, w=w)
    require_shape("x", x, ("N", "H", "W", "C"))
    require_shape("w", w, (3, 3, x.shape[3], "F"))


def check_block(eps: float, x: Array, w: Array, **channels: Array) -> None:
    """x (N, H, W, C), w (3, 3, C, F) and every array of `channels` (F,) of one float dtype; eps in its range."""
    checked_eps(eps)
    check_convolution(x, w)
    working(x=x, **channels)
    for name, array in channels.items():
        require_shape(name, array, (w.shape[3],))


def check_batch(x: Array) -> None:
    """At least two values a channel, so that they have a variance."""
    if math.prod(x.shape[:3]) < 2:
        raise UserError(
            f"x has shape {tuple(x.shape)}: a variance needs at least 2 values in each channel; use a larger batch, "
            "or evaluation"
        )


def check_cotangent(dy: Array, x: Array, shape: tuple[int, ...]) -> None:
    """dy has the dtype of x and this shape."""
    working(x=x, dy=dy)
    require_shape("dy", dy, shape)
