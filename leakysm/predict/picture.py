"""The picture of a prediction: each query beside the examples of its nearest class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from leakysm import plots
from leakysm.data.sheet import mosaic
from leakysm.files import printable
from leakysm.predict.predict import Images, Ranked

SHOTS = 5  # examples shown of a class


def picture(
    names: Sequence[str],
    queries: Images,
    support: Mapping[str, Images],
    ranked: Sequence[Sequence[Ranked]],
    *,
    ink: bool,
) -> bytes:
    """A row a query: the query, then the first examples of its nearest class. A PNG file."""
    figure, axes = plots.new_figure(len(queries), 2, width=2.2, height=0.9)
    for row, (name, query, classes) in enumerate(zip(names, queries, ranked, strict=True)):
        best = classes[0]
        examples = support[best.name][:SHOTS]
        left, right = axes[2 * row : 2 * row + 2]
        left.imshow(mosaic(query[np.newaxis], 1, ink=ink), interpolation="nearest")
        right.imshow(mosaic(examples, len(examples), ink=ink), interpolation="nearest")
        left.set_title(name, fontsize=7, parse_math=False)
        right.set_title(f"{printable(best.name)}, {100 * best.probability:.1f} %", fontsize=7, parse_math=False)
        for axis in (left, right):
            axis.set_axis_off()
    return plots.png(figure)
