"""Pictures of a data set: some images of each class, and one episode."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leakysm.data.dataset import Dataset, Images
from leakysm.errors import UserError
from leakysm.files import printable, write_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GAP = 2  # pixels between images


def mosaic(images: Images, columns: int, *, ink: bool = False) -> Images:
    """Images (n, H, W, C) row by row in one RGB picture, white between and after them. Ink is drawn dark on white."""
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    picture = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for k, image in enumerate(255 - images if ink else images):
        top, left = (k // columns) * (height + _GAP), (k % columns) * (width + _GAP)
        picture[top : top + height, left : left + width] = image if channels == 3 else image[..., :1]
    return picture


def class_sheet(data: Dataset, split: str, *, classes: int, samples: int) -> Figure:
    """One row for each of `classes` classes, spread evenly over the split, with the first `samples` images of each."""
    one = data.split(split)
    samples = min(samples, int(one.counts.max()))
    chosen = np.unique(np.linspace(0, one.n_classes - 1, classes).round().astype(np.int64))
    figure, (axes,) = _figure([samples], len(chosen), data)
    rows = [one.images[one.starts[k] : one.starts[k + 1]][:samples] for k in chosen]
    _draw(axes, [_padded(row, samples, data.inputs.ink) for row in rows], [one.names[k] for k in chosen], data)
    axes.set_title(f"{data.name}, {split}: {len(chosen)} of {one.n_classes} classes, a row each")
    return figure


def episode_sheet(
    data: Dataset, split: str, support: NDArray[np.int64], query: NDArray[np.int64], *, way: int, number: int
) -> Figure:
    """One episode with a row for each class: its support on the left, its queries on the right.

    support, query: indices of the images, as `sample` gives them.
    """
    one = data.split(split)
    parts = [indices.reshape(way, -1) for indices in (support, query)]
    figure, panels = _figure([part.shape[1] for part in parts], way, data)
    names = [one.names[k] for k in one.labels[parts[0][:, 0]]]
    for axes, part, labels in zip(panels, parts, (names, [""] * way), strict=True):
        _draw(axes, [one.images[row] for row in part], labels, data)
    panels[0].set_title("support")
    panels[1].set_title("queries")
    figure.suptitle(f"{data.name}, {split}: episode {number}, {way}-way {parts[0].shape[1]}-shot")
    return figure


def _figure(columns: Sequence[int], rows: int, data: Dataset) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    cell = 0.45 if data.image_shape[0] <= 32 else 0.8  # inches
    figure = Figure(figsize=(2.5 + cell * sum(columns), 0.9 + cell * rows), layout="constrained")
    widths = [count * (data.image_shape[1] + _GAP) - _GAP for count in columns]  # so that all panels have one scale
    panels = figure.subplots(1, len(columns), squeeze=False, width_ratios=widths, gridspec_kw={"wspace": 0.1})
    return figure, list(panels[0])


def _draw(axes: Axes, rows: Sequence[Images], names: Sequence[str], data: Dataset) -> None:
    axes.imshow(mosaic(np.concatenate(rows), len(rows[0]), ink=data.inputs.ink), interpolation="nearest")
    axes.set_xticks([])
    step = data.image_shape[0] + _GAP
    shown = [printable(name) for name in names]
    axes.set_yticks([step * k + step / 2 for k in range(len(rows))], shown, fontsize="small", parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _padded(images: Images, n: int, ink: bool) -> Images:
    """Images up to n: blank paper follows the last."""
    blank = np.full((n - len(images), *images.shape[1:]), 0 if ink else 255, np.uint8)
    return np.concatenate([images, blank])


def save(figure: Figure, file: Path) -> None:
    """Write the figure as a PNG file. UserError if that cannot be, or if another file is there already."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror}); choose another folder with --out") from None
    write_new(file, buffer.getvalue())
