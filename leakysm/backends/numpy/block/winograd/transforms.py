"""The transforms of kernels, inputs and outputs of tiles, and their adjoints. The folder's docstring has the formulas.

The 16 planes of a chunk are made four at a time, a row i of V_ij, U_ij or E_ij, so that they stay in cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from leakysm.backends.numpy.arrays import Doubles, Floats
from leakysm.backends.numpy.block.chunks import Chunk
from leakysm.backends.numpy.block.windows import in_window_order
from leakysm.backends.numpy.scratch import Scratch


class Grid(NamedTuple):
    """The tiles of a chunk: n images of h by w tiles, which cover H by W outputs of each."""

    n: int
    h: int
    w: int
    H: int
    W: int

    @classmethod
    def of(cls, chunk: Chunk, W: int) -> Grid:
        """The tiles of a chunk of images that are W pixels wide."""
        H = chunk.rows.stop - chunk.rows.start
        return cls(chunk.n, -(-H // 2), -(-W // 2), H, W)

    @property
    def size(self) -> int:
        return self.n * self.h * self.w

    @property
    def hangs_over(self) -> bool:
        """Whether some tiles reach beyond the image."""
        return bool(self.H % 2 or self.W % 2)

    def image(self, F: int, dtype: np.dtype, scratch: Scratch) -> tuple[Floats, Floats]:
        """Room for all outputs of the tiles: by pixel (n, 2 h, 2 w, F), and as a view by corner (2, 2, n, h, w, F)."""
        image = scratch("image of tiles", (self.n, 2 * self.h, 2 * self.w, F), dtype)
        return image, image.reshape(self.n, self.h, 2, self.w, 2, F).transpose(2, 4, 0, 1, 3, 5)


def kernels_of(w: Doubles | Floats) -> Floats:
    """U = G g G^T in float32, (4, 4, C, F), rounded once. w (9 C, F)."""
    taps = w.astype(np.float64).reshape(3, 3, -1, w.shape[1])
    return _by_rows(_by_rows(taps).swapaxes(0, 1)).swapaxes(0, 1).astype(np.float32)


def _by_rows(taps: Doubles) -> Doubles:
    """G taps, (4, ...). taps (3, ...)."""
    a, b, c = taps
    return np.stack([a, (a + b + c) / 2, (a - b + c) / 2, c])


def taps_of(planes: Floats) -> Doubles:
    """G^T P G, the adjoint of `kernels_of`, (9 C, F) in float64. planes (4, 4, C, F)."""
    taps = _by_rows_adjoint(_by_rows_adjoint(planes.astype(np.float64)).swapaxes(0, 1)).swapaxes(0, 1)
    return taps.reshape(-1, planes.shape[-1])


def _by_rows_adjoint(planes: Doubles) -> Doubles:
    """G^T planes, (3, ...). planes (4, ...)."""
    a, b, c, d = planes
    both = (b + c) / 2
    return np.stack([a + both, (b - c) / 2, both + d])


def with_signs(planes: Floats) -> Floats:
    """Planes (4, 4, ...), negated in place where just one index is 3: there `gradient_planes` has the other sign."""
    planes[3] *= -1
    planes[:, 3] *= -1
    return planes


def input_planes(x: Floats, chunk: Chunk, scratch: Scratch) -> Iterator[Floats]:
    """The four rows of V, each (4, tiles, C), one after another in the same memory. x (N, H, W, C)."""
    grid, C = Grid.of(chunk, x.shape[2]), x.shape[3]
    by_parity = _by_parity(x, chunk, grid, scratch)
    d0, d1, d2, d3 = (by_parity[i % 2, :, :, i // 2 : i // 2 + grid.h] for i in range(4))
    rows = scratch("rows of tiles", d0.shape, x.dtype)
    planes = scratch("planes", (4, *grid[:3], C), x.dtype)
    even, odd = rows
    for operation, a, b in ((np.subtract, d0, d2), (np.add, d1, d2), (np.subtract, d2, d1), (np.subtract, d1, d3)):
        operation(a, b, out=rows)
        np.subtract(even[:, :, :-1], even[:, :, 1:], out=planes[0])
        np.add(odd[:, :, :-1], even[:, :, 1:], out=planes[1])
        np.subtract(even[:, :, 1:], odd[:, :, :-1], out=planes[2])
        np.subtract(odd[:, :, :-1], odd[:, :, 1:], out=planes[3])
        yield planes.reshape(4, -1, C)


def _by_parity(x: Floats, chunk: Chunk, grid: Grid, scratch: Scratch) -> Floats:
    """The pixels that a chunk's tiles see, by the parity of row and column, (2, 2, n, h + 1, w + 1, C).

    The first row and column are those before the chunk's. Outside the image there are zeros.
    """
    found = scratch("pixels by parity", (2, 2, grid.n, grid.h + 1, grid.w + 1, x.shape[3]), x.dtype)
    first = chunk.rows.start
    for parity in (0, 1):
        start = first - 1 + parity
        above = int(start < 0)
        rows = x[chunk.images, start + 2 * above : first + 2 * grid.h + 1 : 2]
        below = above + rows.shape[1]
        found[parity, :, :, :above], found[parity, :, :, below:] = 0, 0
        to_even, to_odd = found[parity, :, :, above:below]
        to_even[:, :, 0], to_even[:, :, 1 + grid.W // 2 :], to_odd[:, :, grid.w] = 0, 0, 0
        to_even[:, :, 1 : 1 + grid.W // 2], to_odd[:, :, : grid.w] = rows[:, :, 1::2], rows[:, :, ::2]
    return found


def add_output_row(i: int, products: Floats, corners: Floats, scratch: Scratch) -> None:
    """corners += row i of A^T M A, i rising: rows 0 and 1 are written first. products, corners (4, tiles, F)."""
    upper, lower = corners[:2], corners[2:]
    to = (upper, lower)[i] if i < 2 else scratch("row of outputs", upper.shape, corners.dtype)
    np.add(products[1], products[2], out=to[0])
    to[0] += products[0]
    np.subtract(products[1], products[2], out=to[1])
    to[1] -= products[3]
    if i in (1, 2):
        upper += to
    if i in (2, 3):
        lower -= to


def gradient_planes(corners: Floats, scratch: Scratch) -> Iterator[Floats]:
    """The four rows of E = A D A^T, each (4, tiles, F), in the same memory; with the sign of `with_signs`.

    corners (4, tiles, F): the gradient at the outputs, D.
    """
    upper, lower = corners[:2], corners[2:]
    planes = scratch("planes of the gradient", corners.shape, corners.dtype)
    outer = planes[::3]
    for i in range(4):
        if i in (0, 3):
            outer[...] = upper if i == 0 else lower
        else:
            (np.add if i == 1 else np.subtract)(upper, lower, out=outer)
        left, right = outer
        np.add(left, right, out=planes[1])
        np.subtract(left, right, out=planes[2])
        yield planes


def add_input_row(i: int, planes: Floats, by_parity: Floats, scratch: Scratch) -> None:
    """by_parity += row i of B M B^T, the adjoint of `input_planes`. planes (4, n, h, w, C).

    by_parity (2, 2, n, h + 1, w, C): the pixels as in `_by_parity`, but for columns outside the image.
    """
    rows = scratch("rows of pixels", (2, *planes.shape[1:]), planes.dtype)
    even, odd = rows
    np.add(planes[1], planes[2], out=even)
    even -= planes[0]
    even[:, :, :-1] += planes[0][:, :, 1:]
    np.subtract(planes[1], planes[2], out=odd)
    odd += planes[3]
    odd[:, :, 1:] -= planes[3][:, :, :-1]
    (d0, d2), (d1, d3) = ((part[:, :, :-1], part[:, :, 1:]) for part in by_parity)
    plus, minus = ((d0, d2), (d1, d2), (d2, d1), (d1, d3))[i]
    plus += rows
    if i == 1:
        minus += rows
    else:
        minus -= rows


def pixels_of(by_parity: Floats, image: Floats) -> None:
    """Fill images (n, H, W, C) with the pixels by parity (2, 2, n, h + 1, w, C)."""
    for row in (0, 1):
        for column in (0, 1):
            part = image[:, row::2, column::2]
            part[...] = by_parity[1 - row, 1 - column, :, row : row + part.shape[1], : part.shape[2]]


def to_window_order(corners: Floats, grid: Grid, rows: Floats, scratch: Scratch) -> None:
    """Outputs in window order from those of tiles that hang over. corners (4, tiles, F) -> rows (m, F)."""
    image, by_corner = grid.image(rows.shape[1], rows.dtype, scratch)
    by_corner[...] = corners.reshape(by_corner.shape)
    for place, part in in_window_order(image[:, : grid.H, : grid.W]):
        rows[place].reshape(part.shape)[...] = part


def from_window_order(rows: Floats, grid: Grid, scratch: Scratch) -> Floats:
    """The adjoint of `to_window_order`: zeros where tiles hang over. rows (m, F) -> (4, tiles, F)."""
    if not grid.hangs_over:
        return rows.reshape(4, grid.size, -1)
    image, by_corner = grid.image(rows.shape[1], rows.dtype, scratch)
    image[:, grid.H :], image[:, :, grid.W :] = 0, 0
    for place, part in in_window_order(image[:, : grid.H, : grid.W]):
        part[...] = rows[place].reshape(part.shape)
    corners = scratch("corners", (4, grid.size, rows.shape[1]), rows.dtype)
    corners.reshape(by_corner.shape)[...] = by_corner
    return corners
