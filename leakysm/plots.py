"""Helpers of every picture: no display, no global state, one colour for each metric, one legend, plain numbers."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
# The colour of a metric in every picture and report: on light ground, on dark ground. The colour-blind can tell them
# apart. After Okabe & Ito (2008), "Color universal design".
SCALING, OWN_METRIC = "scaling", "own"
COLOURS = {
    "squared-euclidean": ("#000000", "#f0f0f0"),
    "leaky": ("#0072b2", "#4ba6dd"),
    SCALING: ("#56b4e9", "#a9dcf8"),  # leaky with threshold 0
    "euclidean": ("#009e73", "#2cc79c"),
    "cosine": ("#e69f00", "#f2b53a"),
    "log": ("#d55e00", "#ff8d45"),
    "root": ("#cc79a7", "#e3a1c6"),
    OWN_METRIC: ("#8a6d3b", "#c9a86a"),
}
# Lengths of strokes and gaps, in points, of the first, second, ... line of a picture: readable in grey.
DASHES = ((), (6, 2.5), (1.3, 1.8), (7, 2, 1.5, 2), (3, 1.5), (10, 3), (7, 2, 1.5, 2, 1.5, 2), (2, 4))
BORROWED = ("log", "euclidean", "root", "cosine")  # colours of the second, third, ... line of one metric
PALER = 0.32  # how much paler each further line of one colour is


class Style(NamedTuple):
    """How a line is drawn: a metric of COLOURS; how many lines of that metric stand before it; its strokes and gaps."""

    metric: str
    before: int
    dashes: tuple[float, ...]

    @property
    def colour(self) -> str:
        """The colour on light ground."""
        keep = (1 - PALER) ** self.before
        base = COLOURS[self.metric][0]
        parts = (int(base[i : i + 2], 16) for i in (1, 3, 5))
        return "#" + "".join(f"{round(255 - keep * (255 - part)):02x}" for part in parts)


def metric_of(label: str) -> str:
    """The key of COLOURS of a setting such as `leaky,threshold=0,slope=0.03`, or of a metric in words."""
    name, *rest = re.split("[ ,]", label.lower())
    if name == "leaky" and {"threshold=0", "threshold=0.0"} & {*rest}:
        return SCALING
    return name if name in COLOURS else OWN_METRIC


def styles(labels: Sequence[str]) -> list[Style]:
    """The style of each setting's line among these. A further line of a metric borrows a colour that is left."""
    metrics = [metric_of(label) for label in labels]
    left = [name for name in BORROWED if name not in metrics]
    for i, one in enumerate(metrics):
        if one in metrics[:i] and left:
            metrics[i] = left.pop(0)
    return [Style(one, metrics[:i].count(one), DASHES[i % len(DASHES)]) for i, one in enumerate(metrics)]


def line(style: Style) -> dict[str, Any]:
    """The keywords by which matplotlib draws such a line."""
    return {"color": style.colour, "linestyle": (0, style.dashes) if style.dashes else "-"}


def new_figure(rows: int, columns: int, *, width: float = 4.5, height: float = 3.2) -> tuple[Figure, list[Any]]:
    """A figure and its axes, row by row; width and height of each in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.ravel())


def finding(figure: Figure, text: str) -> None:
    """What the picture shows, in a sentence above all panels. The figure grows by the lines beyond the second one."""
    lines = textwrap.wrap(text, int(10 * figure.get_figwidth()))
    figure.set_figheight(figure.get_figheight() + 0.22 * max(0, len(lines) - 2))
    figure.suptitle("\n".join(lines), fontsize=12, fontweight="bold", parse_math=False)


def panel(axis: Any, title: str, x: str, y: str) -> None:
    """What a panel shows, and what its axes count."""
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(x, fontsize=9)
    axis.set_ylabel(y, fontsize=9)
    axis.tick_params(labelsize=9)
    axis.grid(color="#dddddd", lw=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def logarithmic(axis: Any, which: Literal["x", "y"] = "y") -> None:
    """A logarithmic axis whose ticks are plain numbers; its limits are what is drawn, or were set."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set(**{f"{which}scale": "log"})
    low, high = getattr(axis, f"get_{which}lim")()
    ticks = getattr(axis, f"{which}axis")
    ticks.set_major_locator(LogLocator(subs=(1,) if high > 300 * low else (1, 2, 5), numticks=5))
    ticks.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    ticks.set_minor_formatter(NullFormatter())


def plain(value: float) -> str:
    """A number without an exponent: 0.001, 20, 10,000."""
    return f"{value:,.0f}" if value >= 1 and value == round(value) else f"{value:.12f}".rstrip("0").rstrip(".")


def band(axis: Any, x: Sequence[float] | Floats, values: Floats, style: Style, label: str) -> None:
    """A line: the mean over seeds of values (seeds, steps); around it, from the lowest to the highest seed."""
    axis.plot(x, values.mean(axis=0), label=label, **line(style))
    if len(values) > 1:
        axis.fill_between(x, values.min(axis=0), values.max(axis=0), color=style.colour, alpha=0.15, lw=0)


def legend(figure: Figure, axis: Any, details: str) -> None:
    """One legend for all panels, below them: what the picture is of, and the lines of this axis."""
    handles, labels = axis.get_legend_handles_labels()
    details = textwrap.fill(details, int(14 * figure.get_figwidth()))
    columns = max(1, int(11 * figure.get_figwidth() / (max(map(len, labels)) + 10)))
    sizes: dict[str, Any] = {"fontsize": 9, "title_fontsize": 9, "frameon": False, "ncols": columns}
    box = figure.legend(handles, labels, loc="outside lower center", title=details, **sizes)
    box.get_title().set_parse_math(False)
    for text in box.get_texts():
        text.set_parse_math(False)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def seeds_in_words(n: int) -> str:
    """How the lines over n seeds are to be read."""
    return "1 seed" if n == 1 else f"{n} seeds; line: mean, band: lowest to highest seed"
