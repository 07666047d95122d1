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
    upper_left, upper_right, lower_left, lower_right = corners
    right_above, right_below, lower = choice
    below = scratch("below", largest.shape, largest.dtype)
    np.greater(upper_right, upper_left, out=right_above)
    np.maximum(upper_left, upper_right, out=largest)
    np.greater(lower_right, lower_left, out=right_below)
    np.maximum(lower_left, lower_right, out=below)
    np.greater(below, largest, out=lower)
    np.maximum(largest, below, out=largest)


def pool_values(corners: np.ndarray, largest: np.ndarray) -> None:
    """The same without the choice: corners (4, m, F) -> largest (m, F)."""
    np.maximum(corners[0], corners[1], out=largest)
    np.maximum(largest, corners[2], out=largest)
    np.maximum(largest, corners[3], out=largest)


def unpool(g: np.ndarray, choice: np.ndarray, corners: np.ndarray) -> None:
    """Each gradient to the corner that was chosen, zeros elsewhere. g (m, F), choice (3, m, F) -> corners (4, m, F)."""
    upper_left, upper_right, lower_left, lower_right = corners
    right_above, right_below, lower = choice
    np.multiply(g, lower, out=lower_left)
    np.subtract(g, lower_left, out=upper_left)  # exact: one of the two is 0
    np.multiply(upper_left, right_above, out=upper_right)
    np.subtract(upper_left, upper_right, out=upper_left)
    np.multiply(lower_left, right_below, out=lower_right)
    np.subtract(lower_left, lower_right, out=lower_left)
