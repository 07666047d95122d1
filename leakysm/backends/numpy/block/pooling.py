"""2x2 max pooling of convolution outputs in window order, before batch norm's factor and ReLU.

The four corners of the windows stand as four contiguous blocks, so that every pass below is one long loop.
"""

from __future__ import annotations

import numpy as np

from leakysm.backends.numpy.arrays import Floats, Mask
from leakysm.backends.numpy.scratch import Scratch


def pool(corners: Floats, largest: Floats, choice: Mask, scratch: Scratch) -> None:
    """Fill largest (m, F), the windows' maxima, and choice (3, m, F), where they are. corners (4, m, F).

    choice[0]: of the upper two corners the right one is larger. choice[1]: of the lower two the right one is larger.
    choice[2]: the larger of the lower two is larger than that of the upper two.
    Of equal values the first is chosen: only a strictly larger one goes before it.
    """
    left, right = corners[0::2], corners[1::2]
    rows = scratch("rows", left.shape, left.dtype)  # the larger of the upper two, the larger of the lower two
    np.greater(right, left, out=choice[:2])
    np.maximum(left, right, out=rows)
    np.greater(rows[1], rows[0], out=choice[2])
    np.maximum(rows[0], rows[1], out=largest)


def pool_values(corners: Floats, largest: Floats) -> None:
    """Fill largest (m, F), the windows' maxima, alone. corners (4, m, F)."""
    np.maximum(corners[0], corners[1], out=largest)
    np.maximum(largest, corners[2], out=largest)
    np.maximum(largest, corners[3], out=largest)


def unpool(g: Floats, choice: Mask, corners: Floats) -> None:
    """Put each gradient at the corner that was chosen, 0 elsewhere. g (m, F), choice (3, m, F) -> corners (4, m, F).

    Products with 0 and 1 are faster than choices. The differences are exact: each is a - 0 or a - a.
    """
    left, right = corners[0::2], corners[1::2]
    np.multiply(g, choice[2], out=left[1])
    np.subtract(g, left[1], out=left[0])
    np.multiply(left, choice[:2], out=right)
    np.subtract(left, right, out=left)
