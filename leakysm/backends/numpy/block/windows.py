"""How a batch of images is cut into chunks of convolution outputs, in what order a chunk's rows stand, and im2col.

A chunk is a few whole images, or a band of rows of one image: small enough that its im2col matrix stays in cache, large
enough for the matrix product, and the threads, to run at full speed. Its rows stand in *window order*: all top left
corners of the pooling windows, all top right, bottom left, bottom right, and last the outputs of an odd last column and
row that no window covers. Pooling is then a maximum of four contiguous blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from leakysm.backends.numpy.scratch import Scratch

CACHE = 3 << 20  # bytes of a chunk's rows; much less, and threads wait for the interpreter lock between short loops
CHUNKS = 8  # of a batch, or a multiple of it, so that threads have equal shares


@dataclass(frozen=True)
class Chunk:
    """Output rows [top, bottom) of images [first, last), and where they stand among the batch's values."""

    images: slice
    rows: slice
    n: int  # images
    corners: int  # pooling windows
    outputs: slice  # among all outputs, (N H W)
    pooled: slice  # among all pooled values, (N h w)


def _chunk(first: int, last: int, top: int, bottom: int, H: int, W: int) -> Chunk:
    n, height, h, w = last - first, bottom - top, H // 2, W // 2
    outputs, pooled = (first * H + n * top) * W, (first * h + n * (top // 2)) * w
    corners = n * (height // 2) * w
    return Chunk(
        slice(first, last),
        slice(top, bottom),
        n,
        corners,
        slice(outputs, outputs + n * height * W),
        slice(pooled, pooled + corners),
    )


Runs = tuple[tuple[int, int], ...]  # [first, last) each


@lru_cache(maxsize=512)
def cut(length: int, step: int, multiple: int = 1) -> Runs:
    """[0, length) in runs of at most `step`, as equal as can be; their number a multiple of `multiple` if that fits."""
    n = max(1, -(-length // max(1, step)))
    n = max(n, min(-(-n // multiple) * multiple, length))
    return tuple((length * k // n, length * (k + 1) // n) for k in range(n))


Task = tuple[Chunk, ...]  # the chunks of the same images, in order: one chunk of whole images, or the bands of one


def rows_of_chunk(width: int, dtype: np.dtype, outputs: int, *, few: bool = False) -> int:
    """How many rows of `width` values, im2col matrix and outputs together, make a chunk, of `outputs` in all.

    Twice as many for few channels, where the products are short, and so are the times without the interpreter lock.
    """
    return max(1, min(CACHE * (2 if few else 1) // (width * dtype.itemsize), outputs // CHUNKS))


@lru_cache(maxsize=64)
def plan(N: int, H: int, W: int, rows: int) -> tuple[Task, ...]:
    """The batch in tasks, each chunk about `rows` outputs."""
    if 0 in (N, H, W):
        return ()
    bands = [(0, H)]
    if rows < H * W and H >= 2:
        bands = [(2 * i, 2 * j) for i, j in cut(H // 2, rows // (2 * W))]
        bands[-1] = (bands[-1][0], H)
    return tuple(
        tuple(_chunk(first, last, top, bottom, H, W) for top, bottom in bands)
        for first, last in cut(N, rows // (H * W), CHUNKS)
    )


def in_window_order(image_rows: np.ndarray) -> list[tuple[slice, np.ndarray]]:
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


def padded_images(x: np.ndarray, task: Task, scratch: Scratch) -> np.ndarray:
    """The task's images with a border of zeros. x (N, H, W, C) -> (n, H + 2, W + 2, C)."""
    padded = scratch.padded("images", (task[0].n, *x.shape[1:]), x.dtype)
    padded[:, 1:-1, 1:-1] = x[task[0].images]
    return padded


def windows_of(padded: np.ndarray) -> np.ndarray:
    """All 3x3 windows as a view. (n, H + 2, W + 2, C) -> (n, H, W, 3, 3 C): three pixels of a row are contiguous."""
    n, H, W, C = padded.shape
    a, b, c, d = padded.strides
    return np.ndarray((n, H - 2, W - 2, 3, 3 * C), padded.dtype, padded, 0, (a, b, c, b, d))


def columns_of(windows: np.ndarray, chunk: Chunk, scratch: Scratch) -> np.ndarray:
    """im2col: the chunk's windows as rows in window order. windows (n, H, W, 3, 3 C) -> (m, 9 C)."""
    width = windows.shape[3] * windows.shape[4]
    columns = scratch("columns", (chunk.outputs.stop - chunk.outputs.start, width), windows.dtype)
    for rows, part in in_window_order(windows[:, chunk.rows]):
        columns[rows].reshape(part.shape)[...] = part
    return columns


def columns_by_tap(padded: np.ndarray, chunk: Chunk, columns: np.ndarray) -> None:
    """Fill columns (9 C, m): im2col, transposed. padded (n, H + 2, W + 2, C)

    For few channels, where a window's row is short to copy.
    """
    n, H, W, C = padded.shape
    a, b, c, d = padded.strides
    windows = np.ndarray((n, H - 2, W - 2, 3, 3, C), padded.dtype, padded, 0, (a, b, c, b, c, d))
    for rows, part in in_window_order(windows[:, chunk.rows]):
        by_tap = part.transpose(*range(part.ndim - 3, part.ndim), *range(part.ndim - 3))
        columns[:, rows].reshape(by_tap.shape)[...] = by_tap
