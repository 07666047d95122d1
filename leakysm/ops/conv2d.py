"""3x3 convolution, stride 1, zero padding 1, no bias (batch norm follows): cross-correlation, as in every framework.

    y[n, h, w, f] = sum over i, j, c of x[n, h + i - 1, w + j - 1, c] k[i, j, c, f],      x = 0 outside the image

Layout NHWC, kernels HWIO. Each of the nine taps is a sum of C terms; the taps are added pairwise. In the
gradient of k, the sums over blocks of pixels are added pairwise too, because one long sum of equal terms would drift.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from leakysm.ops.arrays import Array, added, quiet, require_shape, tree_sum, working, zeros
from leakysm.ops.registry import Operation, arrays, register

PIXELS = 256  # of a block


def _pad(xp: Any, x: Array) -> Array:
    """Surround the images with zeros: (N, H, W, C) -> (N, H + 2, W + 2, C)."""
    N, H, _, C = x.shape
    side = zeros(xp, (N, H, 1, C), x)
    x = xp.concat([side, x, side], axis=2)
    row = zeros(xp, (N, 1, x.shape[2], C), x)
    return xp.concat([row, x, row], axis=1)


def _windows(xp: Any, x: Array) -> Iterator[tuple[int, int, Array]]:
    """For each of the nine taps (i, j): the image values it meets, as rows (N H W, C)."""
    N, H, W, C = x.shape
    padded = _pad(xp, x)
    for i in range(3):
        for j in range(3):
            yield i, j, xp.reshape(padded[:, i : i + H, j : j + W, :], (N * H * W, C))


def _over_pixels(xp: Any, a: Array, b: Array) -> Array:
    """a^T b, summed over blocks of pixels. a (n, C), b (n, F) -> (C, F)."""
    (n, C), F = a.shape, b.shape[1]
    blocks = n // PIXELS
    full = blocks * PIXELS
    left = xp.matrix_transpose(xp.reshape(a[:full, :], (blocks, PIXELS, C)))
    rest = xp.matrix_transpose(a[full:, :]) @ b[full:, :]
    return tree_sum(xp, xp.concat([left @ xp.reshape(b[:full, :], (blocks, PIXELS, F)), rest[None, :, :]]), axis=0)


def _require_kernel(x: Array, w: Array) -> tuple[int, int, int, int, int]:
    require_shape("x", x, ("N", "H", "W", "C"))
    require_shape("w", w, (3, 3, x.shape[3], "F"))
    return (*x.shape, w.shape[3])


@quiet
def conv2d(x: Array, w: Array) -> Array:
    """3x3 convolution (cross-correlation), stride 1, zero padding 1, no bias.

    x (N, H, W, C), w (3, 3, C, F) of one float dtype -> (N, H, W, F).

    ArrayError or UserError (both ValueErrors) unless all arrays are floats of one dtype, of shapes that fit.

    Examples
    --------
    >>> lk.conv2d(np.ones((1, 3, 3, 1)), np.ones((3, 3, 1, 1)))[0, :, :, 0]
    array([[4., 6., 4.],
           [6., 9., 6.],
           [4., 6., 4.]])
    """
    xp, (x, w), finish = working(x=x, w=w)
    N, H, W, _, F = _require_kernel(x, w)
    y = added(rows @ w[i, j, :, :] for i, j, rows in _windows(xp, x))
    return finish(xp.reshape(y, (N, H, W, F)))


@quiet
def conv2d_vjp(x: Array, w: Array, dy: Array) -> tuple[Array, Array]:
    """Gradients of `conv2d`. dy (N, H, W, F) -> dx (N, H, W, C), dw (3, 3, C, F). Errors as in `conv2d`.

    Examples
    --------
    >>> x, w = np.ones((1, 3, 3, 1)), np.ones((3, 3, 1, 1))
    >>> dx, dw = lk.conv2d_vjp(x, w, np.ones((1, 3, 3, 1)))
    >>> dw[:, :, 0, 0]
    array([[4., 6., 4.],
           [6., 9., 6.],
           [4., 6., 4.]])
    """
    xp, (x, w, dy), finish = working(x=x, w=w, dy=dy)
    N, H, W, C, F = _require_kernel(x, w)
    require_shape("dy", dy, (N, H, W, F))
    # dx is dy correlated with the kernel turned by 180 degrees.
    dx = added(rows @ xp.matrix_transpose(w[2 - i, 2 - j, :, :]) for i, j, rows in _windows(xp, dy))
    dy = xp.reshape(dy, (N * H * W, F))
    dw = xp.stack([_over_pixels(xp, rows, dy) for _, _, rows in _windows(xp, x)])
    return finish(xp.reshape(dx, (N, H, W, C))), finish(xp.reshape(dw, (3, 3, C, F)))


register(
    Operation(
        "conv2d",
        conv2d,
        conv2d_vjp,
        arrays("x", "w"),
        "x (N, H, W, C), w (3, 3, C, F), finite; N, H, W may be 0",
    )
)
