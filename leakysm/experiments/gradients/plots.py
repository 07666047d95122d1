"""The pictures of the early-sparsity experiment."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from leakysm import plots
from leakysm.experiments.gradients import histogram
from leakysm.experiments.gradients.measure import Traces
from leakysm.training.sparsity import VANISHED


class Panel(NamedTuple):
    """A figure of the first steps: its column, its title, the label of its axis, and whether that is logarithmic."""

    column: str
    title: str
    unit: str
    logarithmic: bool = False

    @property
    def factor(self) -> int:
        """What the column is multiplied by."""
        return 100 if "%" in self.unit else 1


PANELS = (
    Panel("vanished_distance_gradients", "Gradient entries that have vanished", f"% of dL/dd below {VANISHED}"),
    Panel("mean_query_gradient", "Length of a query's gradient", "mean |dL/dz|", logarithmic=True),
    Panel("mean_distance", "Distance to a prototype", "mean distance", logarithmic=True),
    Panel("mean_max_probability", "How sure the net is", "mean of the largest probability"),
)
LONGER = "This can be larger although more entries vanish: the few that remain are large"  # of the second panel
OF_WRONG = "Thin lines: only queries that are still wrong"
BELOW = {"mean_query_gradient": LONGER, "vanished_distance_gradients": OF_WRONG}  # what stands below a panel
LEAST = 1e-6  # gradients below it are drawn as one bin


def traces_figure(traces: Traces, title: str) -> bytes:
    """Four figures of the first steps, one line for each setting, bands over the seeds. A PNG file."""
    figure, axes = plots.new_figure(2, 2)
    steps = np.arange(traces.figures.shape[2], dtype=np.float64)
    for axis, panel in zip(axes, PANELS, strict=True):
        values = panel.factor * traces.figure(panel.column)
        for label, style, lines in zip(traces.labels, plots.styles(traces.labels), values, strict=True):
            plots.band(axis, steps, lines, style, label)
        if panel is PANELS[0]:
            _draw_wrong(axis, steps, traces)
        below = textwrap.fill(BELOW.get(panel.column, ""), 46)
        plots.panel(axis, panel.title, f"training step\n{below}".rstrip(), panel.unit)
        if panel.logarithmic and (values > 0).all():
            plots.logarithmic(axis)
        elif not panel.logarithmic:
            axis.set_ylim(0, 1.05 * panel.factor)
    plots.finding(figure, vanished_in_words(traces.labels, traces.figure("vanished_distance_gradients")[:, :, 0]))
    plots.legend(figure, axes[0], f"{title}, {plots.seeds_in_words(len(traces.seeds))}")
    return plots.png(figure)


def _draw_wrong(axis: Any, steps: plots.Floats, traces: Traces) -> None:
    """The part of the gradient entries of queries that are still wrong which has vanished.

    A thin line for each setting: the mean over the seeds that have such queries."""
    of_wrong = traces.figure("vanished_of_wrong")
    known = ~np.isnan(of_wrong)
    with np.errstate(invalid="ignore"):
        means = np.where(known, of_wrong, 0.0).sum(axis=1) / known.sum(axis=1)
    for style, mean in zip(plots.styles(traces.labels), means, strict=True):
        axis.plot(steps, 100 * mean, lw=0.8, alpha=0.8, **plots.line(style))


def vanished_in_words(labels: Sequence[str], parts: plots.Floats) -> str:
    """The finding: parts (settings, seeds) of the gradient entries that have vanished at the first step."""
    means = 100 * parts.mean(axis=1)
    most, least = int(means.argmax()), int(means.argmin())
    if len(labels) == 1:
        return f"{means[0]:.0f} % of the gradient entries have vanished at the first step with {labels[0]}"
    return (
        f"At the first step {means[most]:.0f} % of the gradient entries have vanished with {labels[most]}, "
        f"{means[least]:.0f} % with {labels[least]}"
    )


def histogram_figure(traces: Traces, steps: Sequence[int], title: str) -> bytes:
    """Distances and gradient magnitudes at each of the steps, all seeds together. A PNG file."""
    figure, axes = plots.new_figure(len(steps), 2, height=2.6)
    for row, step in enumerate(steps):
        distances, gradients = axes[2 * row : 2 * row + 2]
        _histogram(distances, traces, step, "distance")
        plots.panel(distances, f"Distances at step {step}", "distance", "% of the pairs")
        _histogram(gradients, traces, step, "gradient")
        plots.panel(
            gradients,
            f"Gradients at step {step}",
            f"|dL/dd| (first bin: below {plots.plain(LEAST)}; dotted: {VANISHED})",
            "% of the pairs",
        )
        gradients.axvline(VANISHED, color="#555555", lw=1, ls=":")
    plots.finding(figure, "Large distances make small gradients. A pair: a query and a class")
    plots.legend(figure, axes[0], f"{title}, {len(traces.seeds)} seeds together")
    return plots.png(figure)


def _histogram(axis: Any, traces: Traces, step: int, quantity: str) -> None:
    """One panel: the share of the pairs in each bin of distances or gradients, one line for each setting."""
    lower = histogram.EDGES[1:-1]
    kept = lower >= LEAST * 0.999  # the bins; one more before them holds zero and all that is smaller
    positions = np.concatenate([[LEAST / 10**0.25], lower[kept]])
    filled = np.zeros(len(positions), bool)
    for label, style in zip(traces.labels, plots.styles(traces.labels), strict=True):
        watched = [traces.watched[label, seed, step] for seed in traces.seeds]
        values = np.stack([pairs.distances if quantity == "distance" else pairs.gradients for pairs in watched])
        counts = histogram.counts(values)
        first = len(counts) - int(kept.sum())
        share = 100 * np.concatenate([[counts[:first].sum()], counts[first:]]) / values.size
        axis.step(positions, share, where="post", label=label, **plots.line(style))
        filled |= share > 0
    axis.set_xlim(positions[filled][0] / 2, positions[filled][-1] * 4)
    plots.logarithmic(axis, "x")
