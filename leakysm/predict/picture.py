"""The picture of a prediction: each query beside the examples of its nearest class."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from leakysm.data.sheet import mosaic
from leakysm.files import printable
from leakysm.predict.predict import Candidate, Images

SHOTS = 5  # examples shown of a class
WIDTH, HEIGHT = 2.2, 0.9  # inches of a panel


def picture(
    names: Sequence[str],
    queries: Images,
    support: Mapping[str, Images],
    ranked: Sequence[Sequence[Candidate]],
    *,
    ink: bool,
) -> bytes:
    """A PNG file with one row for each query: the query, then the first examples of its nearest class."""
    figure = Figure(figsize=(2 * WIDTH, HEIGHT * len(queries)), layout="constrained")
    panels = figure.subplots(len(queries), 2, squeeze=False)
    for (left, right), name, query, classes in zip(panels, names, queries, ranked, strict=True):
        best = classes[0]
        examples = support[best.name][:SHOTS]
        left.imshow(mosaic(query[np.newaxis], 1, ink=ink), interpolation="nearest")
        right.imshow(mosaic(examples, len(examples), ink=ink), interpolation="nearest")
        left.set_title(name, fontsize=7, parse_math=False)
        right.set_title(f"{printable(best.name)}, {100 * best.probability:.1f} %", fontsize=7, parse_math=False)
        left.set_axis_off()
        right.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
