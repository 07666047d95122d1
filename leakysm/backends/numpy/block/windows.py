"""Window order, in which a chunk's rows stand, and im2col.

First come all top left corners of the pooling windows, then all top right, bottom left and bottom right ones, and last
the outputs of an odd last column and row, which no window covers. Pooling is then a maximum of four contiguous blocks.
"""

from __future__ import annotations

import numpy as np

from leakysm.backends.numpy.arrays import Floats
from leakysm.backends.numpy.block.chunks import Chunk, Task
from leakysm.backends.numpy.scratch import Scratch


def in_window_order(image_rows: Floats) -> list[tuple[slice, Floats]]:
    """(n, H, W, ...) as views that follow one another in window order, each with its range of rows.

    The corners as (2, 2, n, h, w, ...), then what floor pooling drops: (n, 2 h, W - 2 w, ...) and (n, H - 2 h, W, ...).
    """
    n, H, W, *rest = image_rows.shape
    h, w = H // 2, W // 2
    even = image_rows[:, : 2 * h, : 2 * w] if H % 2 or W % 2 else image_rows
    corners = even.reshape(n, h, 2, w, 2, *rest).transpose(2, 4, 0, 1, 3, *range(5, 5 + len(rest)))
    start = 4 * n * h * w
    parts = [(slice(0, start), corners)]
    if W % 2:
        parts.append((slice(start, start + n * 2 * h), image_rows[:, : 2 * h, 2 * w :]))
        start += n * 2 * h
    if H % 2:
        parts.append((slice(start, start + n * W), image_rows[:, 2 * h :]))
    return parts


def padded_images(x: Floats, task: Task, scratch: Scratch) -> Floats:
    """The task's images with a border of zeros. x (N, H, W, C) -> (n, H + 2, W + 2, C)."""
    padded = scratch.padded("images", (task[0].n, *x.shape[1:]), x.dtype)
    padded[:, 1:-1, 1:-1] = x[task[0].images]
    return padded


def windows_of(padded: Floats) -> Floats:
    """All 3x3 windows as a view. (n, H + 2, W + 2, C) -> (n, H, W, 3, 3 C): three pixels of a row are contiguous."""
    n, H, W, C = padded.shape
    a, b, c, d = padded.strides
    return np.ndarray((n, H - 2, W - 2, 3, 3 * C), padded.dtype, padded, 0, (a, b, c, b, d))


def columns_of(windows: Floats, chunk: Chunk, scratch: Scratch) -> Floats:
    """im2col: the chunk's windows as rows in window order. windows (n, H, W, 3, 3 C) -> (m, 9 C)."""
    width = windows.shape[3] * windows.shape[4]
    columns = scratch("columns", (chunk.size, width), windows.dtype)
    for rows, part in in_window_order(windows[:, chunk.rows]):
        columns[rows].reshape(part.shape)[...] = part
    return columns


def columns_by_tap(padded: Floats, chunk: Chunk, columns: Floats) -> None:
    """im2col, transposed, into `columns` (9 C, m). padded (n, H + 2, W + 2, C).

    For few channels, where a window's row is too short for a fast copy, while a tap of all windows is a long one.
    """
    n, H, W, C = padded.shape
    a, b, c, d = padded.strides
    windows = np.ndarray((n, H - 2, W - 2, 3, 3, C), padded.dtype, padded, 0, (a, b, c, b, c, d))
    for rows, part in in_window_order(windows[:, chunk.rows]):
        by_tap = part.transpose(*range(part.ndim - 3, part.ndim), *range(part.ndim - 3))
        columns[:, rows].reshape(by_tap.shape)[...] = by_tap
