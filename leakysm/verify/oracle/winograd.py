"""What Winograd's convolution F(2x2, 3x3) adds up, in 50-digit arithmetic: the scales of its rounding errors.

Lavin & Gray 2016, "Fast algorithms for convolutional neural networks": outputs Y of a tile of 4x4 pixels d, from
kernels g, are Y = A^T [sum over channels of (G g G^T) (B^T d B)] A. All is linear in d and in g. With the absolute
values of the matrices, pixels and kernels in place of them, it gives the sum of the absolute values of all terms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leakysm.verify.bounds import Exact
from leakysm.verify.oracle.block import TrainingBlock
from leakysm.verify.precise import Array, exact, largest, matmul, total, zeros

INPUT = exact([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])  # B^T
KERNEL = exact([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])  # G
OUTPUT = exact([[1, 1, 1, 0], [0, 1, -1, -1]])  # A^T


@dataclass(frozen=True)
class Transforms:
    """B^T (4, 4), G (4, 3) and A^T (2, 4): as they are, or their absolute values."""

    input: Array
    kernel: Array
    output: Array

    @classmethod
    def absolute(cls) -> Transforms:
        return cls(abs(INPUT), abs(KERNEL), abs(OUTPUT))

    def of_kernels(self, w: Array) -> Array:
        """U = G g G^T, (4, 4, C, F). w (3, 3, C, F)."""
        return _both_axes(self.kernel, w)

    def of_pixels(self, x: Array) -> Array:
        """V = B^T d B of every tile, (4, 4, tiles, C). x (N, H, W, C)."""
        n, h, w, c = x.shape
        padded = zeros((n, h + h % 2 + 2, w + w % 2 + 2, c))
        padded[:, 1 : h + 1, 1 : w + 1] = x
        rows, columns = padded.shape[1] - 3, padded.shape[2] - 3
        tiles = [[padded[:, i : i + rows : 2, j : j + columns : 2] for j in range(4)] for i in range(4)]
        return _both_axes(self.input, np.array(tiles, dtype=object).reshape(4, 4, -1, c))

    def of_gradient(self, dz: Array) -> Array:
        """E = A D A^T of every tile, (4, 4, tiles, F). dz (N, H, W, F)."""
        n, h, w, f = dz.shape
        padded = zeros((n, h + h % 2, w + w % 2, f))
        padded[:, :h, :w] = dz
        corners = [[padded[:, i::2, j::2] for j in range(2)] for i in range(2)]
        return _both_axes(self.output.T, np.array(corners, dtype=object).reshape(2, 2, -1, f))

    def convolve(self, x: Array, w: Array) -> Array:
        """The outputs, (N, H, W, F)."""
        n, height, width, _ = x.shape
        corners = _both_axes(self.output, _products(self.of_pixels(x), self.of_kernels(w)))
        image = corners.reshape(2, 2, n, -(-height // 2), -(-width // 2), w.shape[-1]).transpose(2, 3, 0, 4, 1, 5)
        return image.reshape(n, height + height % 2, width + width % 2, -1)[:, :height, :width]

    def dx(self, w: Array, dz: Array) -> Array:
        """The gradient at the pixels, (N, H, W, C)."""
        n, height, width, _ = dz.shape
        planes = _products(self.of_gradient(dz), self.of_kernels(w).transpose(0, 1, 3, 2))
        tiles = _both_axes(self.input.T, planes)
        tiles = tiles.reshape(4, 4, n, -(-height // 2), -(-width // 2), w.shape[2])
        padded = zeros((n, height + height % 2 + 2, width + width % 2 + 2, w.shape[2]))
        rows, columns = padded.shape[1] - 3, padded.shape[2] - 3
        for i in range(4):
            for j in range(4):
                padded[:, i : i + rows : 2, j : j + columns : 2] += tiles[i, j]
        return padded[:, 1 : height + 1, 1 : width + 1]

    def dw(self, x: Array, dz: Array) -> Array:
        """The gradient at the kernels, (3, 3, C, F)."""
        planes = _products(self.of_pixels(x).transpose(0, 1, 3, 2), self.of_gradient(dz))
        return _both_axes(self.kernel.T, planes)


def _both_axes(matrix: Array, values: Array) -> Array:
    """matrix values matrix^T over the first two axes."""
    once = np.tensordot(matrix, values, ([1], [0]))
    return np.moveaxis(np.tensordot(matrix, once, ([1], [1])), 0, 1)


def _products(a: Array, b: Array) -> Array:
    """A matrix product for each of 16 planes. a (4, 4, n, k), b (4, 4, k, m) -> (4, 4, n, m)."""
    planes = [matmul(a[i, j], b[i, j]) for i in range(4) for j in range(4)]
    return np.array(planes, dtype=object).reshape(4, 4, a.shape[2], b.shape[3])


class WinogradBlock(TrainingBlock):
    """The training block by Winograd's convolution: the same results, with the scales of what it adds up."""

    def noise_of_outputs(self) -> Array:
        self.transforms = Transforms.absolute()
        self.pixels, self.kernels = self.transforms.of_pixels(abs(self.x)), self.transforms.of_kernels(abs(self.w))
        return self.transforms.convolve(abs(self.x), abs(self.w))

    @property
    def lost(self) -> Any:
        """The smallest normal numbers that underflow may cost an output, (F,).

        16 C products and 8 sums may lose one each; a transformed pixel or kernel loses one, times its counterpart.
        """
        _, _, c, _ = self.kernels.shape
        return 16 * c + 8 + 3 * total(self.kernels, (0, 1, 2)) + self._most(self.pixels)

    def _most(self, planes: Array) -> Array:
        """The largest sum of a tile over planes and channels. planes (4, 4, tiles, channels)."""
        return largest(total(planes, (0, 1, 3)), 0)

    def through_convolution(self, dz: tuple[Array, Array, Array]) -> tuple[Exact, Exact]:
        """dx and dw. The error of dz goes through the convolution as dz itself does: that is the direct block's scale.

        The transforms round relative to dz: their scale is added. A pixel lies in 4 tiles, each
        of which has 16 planes of F products.
        """
        t, w, x = self.transforms, abs(self.w), abs(self.x)
        size = abs(dz[0]).reshape(self.shape)
        gradient = t.of_gradient(size)
        lost_dx = 4 * (16 * gradient.shape[3] + 3 * total(self.kernels, (0, 1, 3)) + self._most(gradient))
        lost_dw = 16 * gradient.shape[2] + 3 * (total(self.pixels, (0, 1, 2))[:, None] + total(gradient, (0, 1, 2)))
        dx, dw = super().through_convolution(dz)
        return (
            Exact.of(dx.value, dx.scale + t.dx(w, size), dx.under + lost_dx),
            Exact.of(dw.value, dw.scale + t.dw(x, size), dw.under + lost_dw),
        )
