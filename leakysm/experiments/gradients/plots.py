"""The pictures of the early-sparsity experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from leakysm import plots
from leakysm.experiments.gradients import histogram
from leakysm.experiments.gradients.measure import Traces
from leakysm.training.sparsity import VANISHED

PANELS = (  # figure, title, on a logarithmic axis
    ("vanished_distance_gradients", "gradient entries below 1e-3 [%]", False),
    ("mean_query_gradient", "mean gradient norm of a query's embedding", True),
    ("mean_distance", "mean distance to a prototype", True),
    ("mean_max_probability", "mean of the largest probability", False),
)


def traces_figure(traces: Traces, title: str) -> bytes:
    """Four figures of the first steps, one line a setting, bands over the seeds. A PNG file."""
    figure, axes = plots.new_figure(2, 2)
    steps = np.arange(traces.figures.shape[2], dtype=np.float64)
    for axis, (name, heading, logarithmic) in zip(axes, PANELS, strict=True):
        values = traces.figure(name) * (100 if "%" in heading else 1)
        for i, label in enumerate(traces.labels):
            plots.band(axis, steps, values[i], i, label)
        if logarithmic and (values > 0).all():
            axis.set_yscale("log")
        elif not logarithmic:
            axis.set_ylim(0, 105 if "%" in heading else 1.05)
        axis.set_title(heading, fontsize=10)
        axis.set_xlabel("training step")
    axes[0].legend(fontsize=8)
    seeds = len(traces.seeds)
    bands = "" if seeds == 1 else ", band: least to greatest"
    figure.suptitle(f"{title} ({seeds} seed{'s' * (seeds > 1)}{bands})", fontsize=11)
    return plots.png(figure)


def histogram_figure(traces: Traces, steps: Sequence[int]) -> bytes:
    """Distances and gradient magnitudes at each of the steps, all seeds together. A PNG file."""
    figure, axes = plots.new_figure(len(steps), 2, height=2.4)
    for row, step in enumerate(steps):
        distances, gradients = axes[2 * row : 2 * row + 2]
        _histogram(distances, traces, step, "distance", f"step {step}: distance, % of pairs")
        _histogram(gradients, traces, step, "gradient", f"step {step}: |dL/dd| of the summed loss, % of pairs")
        gradients.axvline(VANISHED, color="#999999", lw=0.8, ls=":")
    axes[0].legend(fontsize=8)
    return plots.png(figure)


def _histogram(axis: Any, traces: Traces, step: int, quantity: str, title: str) -> None:
    """One panel: which part of the pairs has which distance or gradient, one line a setting."""
    lower_edges = histogram.EDGES[1:-1]
    below_the_first = lower_edges[0] / 10**0.25  # where the bin with zero is drawn, on a logarithmic axis
    positions = np.concatenate([[below_the_first], lower_edges])
    filled = np.zeros(len(positions), bool)
    for i, label in enumerate(traces.labels):
        watched = [traces.watched[label, seed, step] for seed in traces.seeds]
        values = np.stack([pairs.distances if quantity == "distance" else pairs.gradients for pairs in watched])
        share = 100 * histogram.counts(values) / values.size
        axis.step(positions, share, where="post", label=label, **plots.style(i))
        filled |= share > 0
    axis.set_xscale("log")
    axis.set_xlim(positions[filled][0] / 2, positions[filled][-1] * 4)
    axis.set_title(title, fontsize=9)
