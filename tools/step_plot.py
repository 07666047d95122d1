"""Draw what a training step's time is made of: matrix products, memory traffic, everything else; beside PyTorch's.

`python -m tools.step_plot PICTURE [MEASURED]` draws what `leakysm bench train-step --json` wrote into the file
MEASURED. Without it, it measures first, which takes minutes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakysm_benchmarks.train_step import compare

from leakysm import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = {"matrix products": "squared-euclidean", "memory traffic": "cosine", "everything else": plots.SCALING}


def parts_of(rows: Sequence[Mapping[str, Any]]) -> tuple[list[float], float | None]:
    """Shares of one size's step by PARTS, and the fastest peer's time over ours, None without one."""
    ours = rows[0]["ours"][0]
    products, traffic = (
        next(r["theirs"][0] for r in rows if r["peer"] == f"{name} alone") / ours
        for name in ("matrix products", "memory traffic")
    )
    peers = [row["ratio"] for row in rows if row["kind"] == "peer"]
    return [products, traffic, max(0.0, 1 - products - traffic)], min(peers, default=None)


def figure_of(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """A bar for each size: our step as 1, in its parts; a mark where the fastest PyTorch ends."""
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    measured = [parts_of([row for row in rows if row["size"] == size]) for size in sizes]
    figure, (axis,) = plots.new_figure(1, 1, width=8, height=3.4)
    lefts = [0.0] * len(sizes)
    for part, (name, metric) in enumerate(PARTS.items()):
        widths = [shares[part] for shares, _ in measured]
        axis.barh(sizes, widths, left=lefts, height=0.5, color=plots.COLOURS[metric][0], edgecolor="white", label=name)
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    peers = [(row, ratio) for row, (_, ratio) in enumerate(measured) if ratio]
    ends = [ratio for _, ratio in peers]
    lows, highs = [row - 0.38 for row, _ in peers], [row + 0.38 for row, _ in peers]
    axis.vlines(ends, lows, highs, color=plots.COLOURS["log"][0], lw=3, label="fastest PyTorch" if peers else None)
    for row, ratio in peers:
        axis.annotate(f"{ratio:.2f}", (ratio, row), xytext=(5, 0), textcoords="offset points", va="center")
    axis.invert_yaxis()
    axis.set_xlim(0, 1.15 * max([1.0, *ends]))
    plots.panel(axis, "A training step in float32", "time; leakysm's step is 1", "")
    plots.finding(figure, "Matrix products are about half of a step, memory traffic alone is little")
    plots.legend(figure, axis, "parts of leakysm's step")
    return figure


def main(picture: str, measured: str | None = None) -> None:
    """Read or measure, and draw."""
    rows = json.loads(Path(measured).read_text())["comparisons"] if measured else compare()
    figure_of(rows).savefig(picture, dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
