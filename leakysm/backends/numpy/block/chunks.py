"""How a batch of images is cut into chunks of convolution outputs.

A chunk is a few whole images, or a band of rows of one image: small enough that its im2col matrix stays in cache, large
enough for the matrix product, and the threads, to run at full speed. With all images of a thread in one chunk a
training step takes 1.5 times as long at 28x28, 1.8 times at 84x84.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from leakysm.backends.numpy.runs import cut


@dataclass(frozen=True)
class Tiling:
    """How much is worked on at a time.

    cache: bytes of a chunk's im2col matrix and outputs; with much less, threads wait for the interpreter lock between
    short loops. chunks: a batch is cut into a multiple of this number, so that threads have equal shares. pooled: the
    rows that are taken at a time in passes over pooled values alone.
    """

    cache: int = 3 << 20
    chunks: int = 8
    pooled: int = 2304

    def plan(self, images: tuple[int, ...], width: int, dtype: np.dtype, *, few: bool = False) -> tuple[Task, ...]:
        """The tasks of a batch x of shape `images`, whose chunks have rows of `width` values.

        few: whether x has few channels. Then chunks are twice as long: the products are short, and so the interpreter
        lock is free only for short times.
        """
        N, H, W, _ = images
        rows = self.cache * (2 if few else 1) // (width * dtype.itemsize)
        return plan(N, H, W, max(1, min(rows, N * H * W // self.chunks)), self.chunks)


@dataclass(frozen=True)
class Chunk:
    """The outputs at some rows of some images, and where they stand among the batch's values."""

    images: slice
    rows: slice  # of each of these images
    n: int  # images
    corners: int  # pooling windows
    outputs: slice  # among all outputs, (N H W)
    pooled: slice  # among all pooled values, (N h w)

    @property
    def size(self) -> int:
        """The number of outputs of a channel."""
        return int(self.outputs.stop - self.outputs.start)


Task = tuple[Chunk, ...]  # the chunks of the same images, in order: one chunk of whole images, or the bands of one


@lru_cache(maxsize=64)
def plan(N: int, H: int, W: int, rows: int, chunks: int) -> tuple[Task, ...]:
    """The batch in tasks, a multiple of `chunks` if that fits; each chunk about `rows` outputs of a channel."""
    if 0 in (N, H, W):
        return ()
    bands = [slice(0, H)]
    if rows < H * W and H >= 2:  # even numbers of rows, so that no pooling window is cut in two
        bands = [slice(2 * run.start, 2 * run.stop) for run in cut(H // 2, rows // (2 * W))]
        bands[-1] = slice(bands[-1].start, H)
    return tuple(tuple(_chunk(images, band, H, W) for band in bands) for images in cut(N, rows // (H * W), chunks))


def _chunk(images: slice, band: slice, H: int, W: int) -> Chunk:
    n, height, h, w = images.stop - images.start, band.stop - band.start, H // 2, W // 2
    outputs = (images.start * H + n * band.start) * W
    pooled = (images.start * h + n * (band.start // 2)) * w
    corners = n * (height // 2) * w
    return Chunk(images, band, n, corners, slice(outputs, outputs + n * height * W), slice(pooled, pooled + corners))
