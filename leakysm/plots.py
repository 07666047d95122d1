"""How every picture of an experiment is made: no display, no global state, colours that the colour-blind can tell."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008), "Color universal design"; with dashes, so that lines on top of one another show too
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
DASHES = ("-", "--", ":", "-.")
Floats = NDArray[np.float64]


def new_figure(rows: int, columns: int, *, width: float = 4.5, height: float = 3.2) -> tuple[Figure, list[Any]]:
    """A figure and its axes, row by row; width and height of each in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.ravel())


def style(number: int) -> dict[str, Any]:
    """Colour and dashes of line `number`."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}


def band(axis: Any, x: Sequence[float] | Floats, values: Floats, number: int, label: str) -> None:
    """A line: the mean over seeds of values (seeds, steps); around it, from the least to the greatest seed."""
    axis.plot(x, values.mean(axis=0), label=label, **style(number))
    if len(values) > 1:
        axis.fill_between(x, values.min(axis=0), values.max(axis=0), color=style(number)["color"], alpha=0.2, lw=0)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
