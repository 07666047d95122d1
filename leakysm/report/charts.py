"""Charts over the steps of training: of a run, or of the settings of an experiment beside one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from leakysm.experiments.gradients.plots import LONGER, PANELS
from leakysm.plots import Floats
from leakysm.report.html import Html, legend, tag
from leakysm.report.page import Page, series, styled
from leakysm.runs.curves import EARLY, SMALL_TOO, smoothed, validations

Rows = Mapping[str, Floats]  # the columns of a metrics.csv by name


def learning_curves(page: Page, runs: Mapping[str, Sequence[Rows]]) -> None:
    """Two sections: the whole training, and its first steps. runs: the metrics of each seed by setting.

    Where runs are of different lengths, only the common part is drawn.
    """
    shared = min(len(rows["episode"]) for seeds in runs.values() for rows in seeds)
    cut = {label: [{name: y[:shared] for name, y in rows.items()} for rows in seeds] for label, seeds in runs.items()}
    curves = (_smoothed("Loss", "loss", 1), _smoothed("Accuracy in training", "accuracy", 100))
    charts = [_chart(page, f"{title}, moving mean", unit, points, cut) for title, unit, points in curves]
    if all(validations(rows)[0].size > 1 for seeds in cut.values() for rows in seeds):
        charts.append(_chart(page, "Accuracy in validation", "% right", validations, cut, marks=True))
    _add(page, [*cut], charts)
    first = f"The first {EARLY} of {shared:,} steps, where distances differ most." if shared > EARLY else "All steps."
    page.section("Early gradients", tag("p", f"{first} {SMALL_TOO.capitalize()}.", class_="note"))
    names = {one.column for one in PANELS if all(one.column in rows for seeds in cut.values() for rows in seeds)}
    early_curves(
        page, {name: [np.stack([rows[name] for rows in seeds]) for seeds in cut.values()] for name in names}, [*cut]
    )


def early_curves(page: Page, figures: Mapping[str, Sequence[Floats]], labels: Sequence[str]) -> None:
    """Charts of the first steps. figures: for each column of PANELS, the values (seeds, steps) of each setting."""
    charts = []
    for panel in PANELS:
        if panel.column in figures:
            values = [panel.factor * y[:, :EARLY] for y in figures[panel.column]]
            x = np.arange(values[0].shape[1], dtype=np.float64)
            lines = [series(x, y, style, label) for (label, style), y in zip(styled(labels), values, strict=True)]
            note = f"{LONGER}." if panel.column == "mean_query_gradient" else ""
            ends = {"log": True} if panel.logarithmic else {"least": 0, "most": panel.factor}
            spec = {"x": "training step", "series": lines, "y": panel.unit, **ends}
            charts.append(page.chart(panel.title, spec, note))
    _add(page, labels, charts)


def _add(page: Page, labels: Sequence[str], charts: Sequence[Html]) -> None:
    """The charts under one legend, if there are several lines."""
    page.add(*([legend(styled(labels))] if len(labels) > 1 else []), tag("div", *charts, class_="charts"))


def _chart(page: Page, title: str, unit: str, points: Any, runs: Mapping[str, Sequence[Rows]], **more: Any) -> Html:
    """One line for each setting, in a band over its seeds. points(rows): x and y of a run."""
    lines = []
    for label, style in styled([*runs]):
        found = [points(rows) for rows in runs[label]]
        lines.append(series(found[0][0], np.stack([y for _, y in found]), style, label, **more))
    return page.chart(title, {"x": "training episode", "y": unit, "series": lines})


def _smoothed(title: str, column: str, factor: int) -> tuple[str, str, Any]:
    """Title, unit and points of a column's moving mean."""
    unit = "% right" if factor == 100 else column
    return title, unit, lambda rows: smoothed(rows["episode"], factor * rows[column])
