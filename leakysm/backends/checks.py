"""What the plain and the fused pairs check before they compute: shapes, dtypes, batch size. All raise UserError."""

from __future__ import annotations

import math
from typing import Any

from leakysm.backends.protocol import Pair, reference_pair
from leakysm.errors import UserError
from leakysm.ops.arrays import Array, dtype_name, require_shape, working
from leakysm.ops.batch_norm import checked_eps

CONVOLUTIONS = ("conv2d", "conv_block", "conv_block_inference")


def check_convolution(x: Array, w: Array) -> None:
    """One float dtype; x (N, H, W, C), w (3, 3, C, F)."""
    working(x=x, w=w)
    require_shape("x", x, ("N", "H", "W", "C"))
    require_shape("w", w, (3, 3, x.shape[3], "F"))


def check_block(eps: float, x: Array, w: Array, **channels: Array) -> None:
    """The same, every array of `channels` (F,) of the same dtype, and eps in its range."""
    checked_eps(eps)
    check_convolution(x, w)
    working(x=x, **channels)
    for name, array in channels.items():
        require_shape(name, array, (w.shape[3],))


def check_batch(x: Array) -> None:
    """At least two values a channel, so that they have a variance."""
    if math.prod(x.shape[:3]) < 2:
        raise UserError(
            f"x has shape {tuple(x.shape)}: fewer than 2 values a channel, which have no variance; use a larger batch, "
            "or evaluation"
        )


def check_cotangent(dy: Array, x: Array, shape: tuple[int, ...]) -> None:
    """dy has the dtype of x and this shape."""
    working(x=x, dy=dy)
    require_shape("dy", dy, shape)


def single_or_double(name: str, pair: Pair) -> Pair:
    """`pair` for float32 and float64; anything else, and images or filters without a channel, to the reference pair.

    The reference computes float16 in float32 and rounds once, and names what is wrong with other arguments.
    """
    reference = reference_pair(name)

    def forward(*arguments: Any, **parameters: Any) -> tuple[Any, Any]:
        fits = hasattr(arguments[0], "dtype") and dtype_name(arguments[0]) in ("float32", "float64")
        fits = fits and not (name in CONVOLUTIONS and 0 in getattr(arguments[1], "shape", ()))
        chosen = pair if fits else reference
        y, saved = chosen.forward(*arguments, **parameters)
        return y, (chosen, saved)

    def backward(saved: Any, *dy: Any, **options: Any) -> Any:
        chosen, kept = saved
        return chosen.backward(kept, *dy, **options)

    return Pair(forward, backward)
