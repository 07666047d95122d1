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
DOUBTFUL = 2  # the nearest class is doubtful if it is less than twice as probable as the second
DOUBT = "#b03a00"


def picture(
    names: Sequence[str],
    queries: Images,
    support: Mapping[str, Images],
    ranked: Sequence[Sequence[Candidate]],
    *,
    ink: bool,
    far: Sequence[bool],
) -> bytes:
    """A PNG file with one row for each query: the query, then the first examples of its nearest class.

    far: whether even that class is not close. A query that is far, or whose second class is more than half as probable
    as the nearest, is marked as doubtful.
    """
    figure, axes = plots.new_figure(len(queries), 2, width=WIDTH, height=HEIGHT)
    doubts = [doubt(classes, is_far) for classes, is_far in zip(ranked, far, strict=True)]
    rows = zip(axes[::2], axes[1::2], names, queries, ranked, doubts, strict=True)
    for left, right, name, query, classes, why in rows:
        examples = support[classes[0].name][:SHOTS]
        _framed(left, mosaic(query[np.newaxis], 1, ink=ink), name, bool(why))
        answer = f"{_words(classes[0])}{why}"
        _framed(right, mosaic(examples, len(examples), ink=ink), answer, bool(why))
    for axis, heading in ((axes[0], "image"), (axes[1], "nearest class, and its examples")):
        axis.annotate(heading, (0.5, 1), (0, 30), "axes fraction", "offset points", ha="center", fontweight="bold")
    n = sum(map(bool, doubts))
    plots.finding(figure, f"Doubtful: {n} of {len(queries)}" if n else "Each image and its nearest class")
    return plots.png(figure)


def doubt(classes: Sequence[Candidate], far: bool) -> str:
    """Why the answer is doubtful, as the second line of its title; "" if it is not. classes: the nearest first."""
    if far:
        return "\ndoubtful: nothing here is close"
    first, second = classes[:2]
    return f"\ndoubtful: or {_words(second)}" if first.probability < DOUBTFUL * second.probability else ""


def _words(one: Candidate) -> str:
    return f"{printable(one.name)}, {100 * one.probability:.1f} %"


def _framed(axis: Any, image: Images, title: str, doubtful: bool) -> None:
    """The image under its title, in a frame: dashed around the doubtful."""
    axis.imshow(image, interpolation="nearest")
    axis.set_title(title, fontsize=8, parse_math=False, color=DOUBT if doubtful else "black")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(linewidth=1.5 if doubtful else 0.8, linestyle="--" if doubtful else "-")
    axis.spines[:].set_color(DOUBT if doubtful else "#888888")
