"""The picture of a prediction: each query beside the examples of its nearest class, the doubtful ones marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from leakysm import plots
from leakysm.data.sheet import mosaic
from leakysm.files import printable
from leakysm.predict.predict import Candidate, Images

SHOTS = 5  # examples shown of a class
WIDTH, HEIGHT = 2.6, 1.25  # inches of a panel
DOUBTFUL = 2  # times as probable as the second class: what is less is doubtful
DOUBT = "#b03a00"


def doubtful(classes: Sequence[Candidate]) -> bool:
    """Whether the nearest class is less than twice as probable as the second. classes: the nearest first."""
    return classes[0].probability < DOUBTFUL * classes[1].probability


def picture(
    names: Sequence[str],
    queries: Images,
    support: Mapping[str, Images],
    ranked: Sequence[Sequence[Candidate]],
    *,
    ink: bool,
) -> bytes:
    """A PNG file with one row for each query: the query, then the first examples of its nearest class."""
    figure, axes = plots.new_figure(len(queries), 2, width=WIDTH, height=HEIGHT)
    rows = zip(axes[::2], axes[1::2], names, queries, ranked, strict=True)
    for left, right, name, query, classes in rows:
        doubt = doubtful(classes)
        examples = support[classes[0].name][:SHOTS]
        _framed(left, mosaic(query[np.newaxis], 1, ink=ink), name, doubt)
        _framed(right, mosaic(examples, len(examples), ink=ink), _answer(classes, doubt), doubt)
    for axis, heading in ((axes[0], "image"), (axes[1], "nearest class, and its examples")):
        axis.annotate(heading, (0.5, 1), (0, 30), "axes fraction", "offset points", ha="center", fontweight="bold")
    n = sum(map(doubtful, ranked))
    plots.finding(figure, f"Doubtful: {n} of {len(queries)}" if n else "Each image and its nearest class")
    return plots.png(figure)


def _answer(classes: Sequence[Candidate], doubt: bool) -> str:
    words = [f"{printable(one.name)}, {100 * one.probability:.1f} %" for one in classes[: 1 + doubt]]
    return "doubtful: {}\nor {}".format(*words) if doubt else words[0]


def _framed(axis: Any, image: Images, title: str, doubt: bool) -> None:
    """The image under its title, in a frame: dashed around the doubtful."""
    axis.imshow(image, interpolation="nearest")
    axis.set_title(title, fontsize=8, parse_math=False, color=DOUBT if doubt else "black")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(linewidth=1.5 if doubt else 0.8, linestyle="--" if doubt else "-")
    axis.spines[:].set_color(DOUBT if doubt else "#888888")
