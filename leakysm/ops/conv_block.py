"""A block of Conv4: y = max_pool2d(relu(batch_norm(conv2d(x, w), scale, shift))), in training and in evaluation.

It is the four operations, one after another. The engines' fused blocks are checked against it.
"""

from __future__ import annotations

from typing import Any

from leakysm.ops.arrays import Array, quiet, working
from leakysm.ops.batch_norm import EPS, batch_norm, batch_norm_vjp
from leakysm.ops.batch_norm_inference import batch_norm_inference, batch_norm_inference_vjp
from leakysm.ops.conv2d import conv2d, conv2d_vjp
from leakysm.ops.max_pool2d import first_maximum, max_pool2d, max_pool2d_vjp
from leakysm.ops.registry import Operation, arrays, register
from leakysm.ops.relu import relu, relu_vjp


@quiet
def conv_block(x: Array, w: Array, scale: Array, shift: Array, *, eps: float = EPS) -> tuple[Array, Array, Array]:
    """y = max_pool2d(relu(batch_norm(conv2d(x, w), scale, shift))), and the batch's statistics.

    x (N, H, W, C), w (3, 3, C, F), scale, shift (F,) of one float dtype -> y (N, H // 2, W // 2, F); mean, biased
    variance (F,). Errors as in `conv2d` and `batch_norm`.

    Examples
    --------
    >>> x, w = np.array([0.0, 2.0, 0.0, 2.0]).reshape(1, 2, 2, 1), np.eye(9)[4].reshape(3, 3, 1, 1)
    >>> y, mean, variance = lk.conv_block(x, w, np.ones(1), np.zeros(1), eps=0)
    >>> y.tolist(), mean.tolist(), variance.tolist()
    ([[[[1.0]]]], [1.0], [1.0])
    """
    _, (x, w, scale, shift), finish = working(x=x, w=w, scale=scale, shift=shift)
    normalised, mean, variance = batch_norm(conv2d(x, w), scale, shift, eps=eps)
    return finish(max_pool2d(relu(normalised))), finish(mean), finish(variance)


def _through_pool_and_relu(normalised: Array, dy: Array) -> Array:
    return relu_vjp(normalised, max_pool2d_vjp(relu(normalised), dy))


@quiet
def conv_block_vjp(
    x: Array, w: Array, scale: Array, shift: Array, dy: Array, *, eps: float = EPS, needs_dx: bool = True
) -> tuple[Array | None, Array, Array, Array]:
    """Gradients of `conv_block`'s y. dy (N, H // 2, W // 2, F) -> dx, dw, dscale, dshift, shaped as their arguments.

    dx is None if needs_dx is false. Errors as in `conv_block`.

    Examples
    --------
    >>> x, w = np.array([0.0, 2.0, 0.0, 2.0]).reshape(1, 2, 2, 1), np.eye(9)[4].reshape(3, 3, 1, 1)
    >>> dx, dw, dscale, dshift = lk.conv_block_vjp(x, w, np.ones(1), np.zeros(1), np.ones((1, 1, 1, 1)), eps=0)
    >>> dscale.tolist(), dshift.tolist()
    ([1.0], [1.0])
    """
    _, (x, w, scale, shift, dy), finish = working(x=x, w=w, scale=scale, shift=shift, dy=dy)
    z = conv2d(x, w)
    normalised, _, _ = batch_norm(z, scale, shift, eps=eps)
    dz, dscale, dshift = batch_norm_vjp(z, scale, shift, _through_pool_and_relu(normalised, dy), eps=eps)
    dx, dw = conv2d_vjp(x, w, dz)
    return finish(dx) if needs_dx else None, finish(dw), finish(dscale), finish(dshift)


@quiet
def conv_block_inference(
    x: Array, w: Array, scale: Array, shift: Array, mean: Array, variance: Array, *, eps: float = EPS
) -> Array:
    """The block with given statistics. mean, variance (F,), the others as in `conv_block` -> (N, H // 2, W // 2, F).

    y = max_pool2d(relu(batch_norm_inference(conv2d(x, w), ...))). Errors as in these.

    Examples
    --------
    >>> x, w, one = np.array([0.0, 2.0, 0.0, 2.0]).reshape(1, 2, 2, 1), np.eye(9)[4].reshape(3, 3, 1, 1), np.ones(1)
    >>> lk.conv_block_inference(x, w, scale=one, shift=0 * one, mean=one, variance=4 * one, eps=0).tolist()
    [[[[0.5]]]]
    """
    _, (x, w, *channels), finish = working(x=x, w=w, scale=scale, shift=shift, mean=mean, variance=variance)
    return finish(max_pool2d(relu(batch_norm_inference(conv2d(x, w), *channels, eps=eps))))


@quiet
def conv_block_inference_vjp(
    x: Array, w: Array, scale: Array, shift: Array, mean: Array, variance: Array, dy: Array, *, eps: float = EPS
) -> tuple[Array, ...]:
    """Gradients of `conv_block_inference`. dy (N, H // 2, W // 2, F) -> dx, dw, dscale, dshift, dmean, dvariance.

    Each has the shape of its argument. Errors as in `conv_block_inference`.

    Examples
    --------
    >>> x, w, one = np.array([0.0, 2.0, 0.0, 2.0]).reshape(1, 2, 2, 1), np.eye(9)[4].reshape(3, 3, 1, 1), np.ones(1)
    >>> dvariance = lk.conv_block_inference_vjp(x, w, one, 0 * one, one, 4 * one, np.ones((1, 1, 1, 1)), eps=0)[-1]
    >>> dvariance.tolist()
    [-0.0625]
    """
    _, (x, w, scale, shift, mean, variance, dy), finish = working(
        x=x, w=w, scale=scale, shift=shift, mean=mean, variance=variance, dy=dy
    )
    z = conv2d(x, w)
    normalised = batch_norm_inference(z, scale, shift, mean, variance, eps=eps)
    dz, *dchannels = batch_norm_inference_vjp(
        z, scale, shift, mean, variance, _through_pool_and_relu(normalised, dy), eps=eps
    )
    return tuple(map(finish, (*conv2d_vjp(x, w, dz), *dchannels)))


def _kinks(normalised: Array) -> dict[str, Any]:
    return {"positive": normalised > 0, **first_maximum(relu(normalised))}


register(
    Operation(
        "conv_block",
        conv_block,
        conv_block_vjp,
        arrays("x", "w", "scale", "shift"),
        "as conv2d and batch_norm: x (N, H, W, C) with N H W >= 2",
        parameters=("eps",),
        outputs=("y", "mean", "variance"),
        kinks=lambda x, w, scale, shift, *, eps=EPS: _kinks(batch_norm(conv2d(x, w), scale, shift, eps=eps)[0]),
    )
)
register(
    Operation(
        "conv_block_inference",
        conv_block_inference,
        conv_block_inference_vjp,
        arrays("x", "w", "scale", "shift", "mean", "variance"),
        "as conv2d and batch_norm_inference",
        parameters=("eps",),
        kinks=lambda x, w, *channels, eps=EPS: _kinks(batch_norm_inference(conv2d(x, w), *channels, eps=eps)),
    )
)
