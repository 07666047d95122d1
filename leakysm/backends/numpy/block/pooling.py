"""2x2 max pooling of convolution outputs, before batch norm's factor and ReLU, which then touch a quarter of the data.

Both are monotonic, so they commute with a maximum; where a scale is negative the outputs are computed negated. Corners
stand as four contiguous blocks (window order), so every pass below is one long loop.
"""

from __future__ import annotations

import numpy as np

from leakysm.backends.numpy.scratch import Scratch


def pool(corners: np.ndarray, largest: np.ndarray, choice: np.ndarray, scratch: Scratch) -> None:
    """corners (4, m, F) -> largest (m, F) and choice (3, m, F) bool: right of the upper two, of the lower two; lower.

    A tie goes to the first: only a strictly larger value is preferred.
    """
    left, right = corners[0::2], corners[1::2]
    rows = scratch("rows", left.shape, left.dtype)  # the upper two's largest, the lower two's
    np.greater(right, left, out=choice[:2])
    np.maximum(left, right, out=rows)
    np.greater(rows[1], rows[0], out=choice[2])
    np.maximum(rows[0], rows[1], out=largest)


def pool_values(corners: np.ndarray, largest: np.ndarray) -> None:
    """The same without the choice: corners (4, m, F) -> largest (m, F)."""
    np.maximum(corners[0], corners[1], out=largest)
    np.maximum(largest, corners[2], out=largest)
    np.maximum(largest, corners[3], out=largest)


def unpool(g: np.ndarray, choice: np.ndarray, corners: np.ndarray) -> None:
    """Each gradient to the corner that was chosen, zeros elsewhere. g (m, F), choice (3, m, F) -> corners (4, m, F)."""
    left, right = corners[0::2], corners[1::2]
    np.multiply(g, choice[2], out=left[1])
    np.subtract(g, left[1], out=left[0])  # exact: one of the two is 0
    np.multiply(left, choice[:2], out=right)
    np.subtract(left, right, out=left)
