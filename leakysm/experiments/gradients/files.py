"""The files of the early-sparsity experiment: tables, pictures, and a summary that names every setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leakysm.experiments.gradients import claims, histogram
from leakysm.experiments.gradients.claims import Verdict
from leakysm.experiments.gradients.measure import Traces
from leakysm.experiments.gradients.plots import histogram_figure, traces_figure
from leakysm.experiments.outputs import write_files
from leakysm.experiments.settings import METRIC_KEYS
from leakysm.runs.settings import TrainConfig
from leakysm.strict_json import json_bytes
from leakysm.tables import csv_table
from leakysm.training.trainer import STEP_COLUMNS

# The settings that the first steps depend on.
USED = frozenset(METRIC_KEYS) | {"dataset", "data", "split", "way", "shot", "query", "backend", "device"}
USED |= {"optimizer", "learning_rate", "halve_every", "formula", "channels", "blocks"}


def summary(configs: Mapping[str, TrainConfig], traces: Traces, verdicts: Sequence[Verdict] = ()) -> dict[str, Any]:
    """Every setting in full, with its figures at the first and the last step; and the verdicts on the claims."""
    last = traces.figures.shape[2] - 1
    settings = []
    for i, label in enumerate(traces.labels):
        config = {key: value for key, value in configs[label].settings().items() if key in USED}
        first_and_last = {"first": _at_step(traces, i, 0), "last": _at_step(traces, i, last)}
        settings.append({"setting": label, "config": config, **first_and_last})
    told = {"claims": claims.to_json(verdicts)} if verdicts else {}
    return {"seeds": list(traces.seeds), "steps": last + 1, "settings": settings, **told}


def _at_step(traces: Traces, setting: int, step: int) -> dict[str, Any]:
    """Each figure of a setting at one step: its mean over the seeds, and its value for each seed."""
    by_figure = zip(STEP_COLUMNS, traces.figures[setting, :, step].T, strict=True)
    return {name: {"mean": float(values.mean()), "seeds": values.tolist()} for name, values in by_figure}


def write(
    out: Path,
    result: dict[str, Any],
    title: str,
    traces: Traces,
    watch: Sequence[int],
    verdicts: Sequence[Verdict] = (),
) -> list[str]:
    """Write gradients.csv, .png and .json, and claims.csv. Returns the names of the files.

    If there are steps to watch, also histogram.csv and .png; if there are verdicts on the claims, also claims.md.

    UserError if the folder or a file cannot be written.
    """
    files = {
        "gradients.csv": csv_table(("setting", "seed", "step", *STEP_COLUMNS), traces.rows(traces.figures)),
        "claims.csv": csv_table(
            ("setting", "seed", "step", *traces.columns[len(STEP_COLUMNS) :]), traces.rows(traces.observed)
        ),
        "gradients.png": traces_figure(traces, title),
        "gradients.json": json_bytes(result),
    }
    if verdicts:
        files["claims.md"] = claims.markdown(verdicts, traces.labels[0], title, traces.seeds).encode()
    if watch:
        columns = ("setting", "seed", "step", "quantity", "low", "high", "count")
        files["histogram.csv"] = csv_table(columns, histogram.rows(traces.watched))
        files["histogram.png"] = histogram_figure(traces, watch, title)
    write_files(out, files)
    return [*files]
