"""Winograd's minimal filtering F(2x2, 3x3): the convolution of a block by 16 products in place of 36.

Source: Lavin & Gray 2016, "Fast algorithms for convolutional neural networks", section 4. Two outputs of a filter g of
three taps on pixels d need four products in place of six:

    m1 = (d0 - d2) g0      m2 = (d1 + d2) (g0 + g1 + g2) / 2      y0 = m1 + m2 + m3
    m4 = (d1 - d3) g2      m3 = (d2 - d1) (g0 - g1 + g2) / 2      y1 = m2 - m3 - m4

Written as y = A^T [(G g) (B^T d)], products element by element, and nested in itself, this gives the 2x2 outputs Y of a
tile of 4x4 pixels d, for kernels g 3x3, with sums over the channels c:

    Y = A^T [sum over c of U_c V_c] A       U_c = G g_c G^T       V_c = B^T d_c B

    G = 1    0    0        B^T = 1  0 -1  0        A^T = 1  1  1  0
        1/2  1/2  1/2            0  1  1  0              0  1 -1 -1
        1/2 -1/2  1/2            0 -1  1  0
        0    0    1              0  1  0 -1

Each of the 16 elements of V, taken over all tiles of a chunk, is a plane (tiles, C), and the sum over c is a matrix
product of a plane with a plane (C, F) of U. Tiles overlap by two pixels; their outputs do not: Y is a pooling window,
and its four elements are the four corners in window order (`block.windows`). Where a side is odd, the last tiles hang
over the image, and what they compute outside is dropped.

The backward pass takes the adjoint of each step. With D the gradient of a tile's outputs, and E = A D A^T:

    dg_c = G^T [sum over tiles of V_c E] G              dd_c = B [sum over f of U_cf E_f] B^T, overlapping tiles added

So dx and dw share E, as the direct passes share an im2col. A's only row with a single -1 is taken with the other sign,
and so are U and dg where they meet it: that saves passes over E.

What it costs. The transforms are additions, on 4 to 16 values for each tile and channel, in cache. The result's errors
are relative to the absolute values in a 4x4 tile, |A^T| [|U| |V|] |A|, not to the terms of one output. In range, sums
over a tile may overflow where an output does not: the forward pass then goes the direct way, which has no such sums.

What it is for: float32, CHANNELS input channels or more, and images of at least SMALLEST pixels a side, of which the
tiles hang over by little. Everything else is direct.
"""

from __future__ import annotations

import numpy as np

from leakysm.backends.numpy.arrays import Floats

CHANNELS = 16
SMALLEST = 6


def suits(x: Floats) -> bool:
    """Whether a block on x (N, H, W, C) can gain by Winograd's convolution."""
    _, H, W, C = x.shape
    return bool(x.dtype == np.float32 and C >= CHANNELS and min(H, W) >= SMALLEST)
