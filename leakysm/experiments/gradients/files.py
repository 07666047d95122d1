"""What the early-sparsity experiment leaves in its folder: tables, pictures, and a summary that names every setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leakysm.experiments.gradients import histogram
from leakysm.experiments.gradients.measure import Traces
from leakysm.experiments.gradients.plots import histogram_figure, traces_figure
from leakysm.experiments.outputs import write_files
from leakysm.experiments.settings import METRIC_KEYS
from leakysm.runs.settings import TrainConfig
from leakysm.strict_json import json_text
from leakysm.tables import csv_table
from leakysm.training.trainer import STEP_COLUMNS

USED = frozenset(METRIC_KEYS) | {"dataset", "data", "split", "way", "shot", "query", "backend", "device"}
USED |= {"optimizer", "learning_rate", "halve_every"}


def summary(configs: Mapping[str, TrainConfig], traces: Traces) -> dict[str, Any]:
    """Settings in full, and their figures at the first and the last step: mean over the seeds, and of each seed."""
    last = traces.figures.shape[2] - 1
    return {
        "seeds": list(traces.seeds),
        "steps": last + 1,
        "settings": [
            {
                "setting": label,
                "config": {key: value for key, value in configs[label].settings().items() if key in USED},
                **{
                    when: {
                        name: {"mean": float(values.mean()), "seeds": values.tolist()}
                        for name, values in zip(STEP_COLUMNS, traces.figures[i, :, step].T, strict=True)
                    }
                    for when, step in (("first", 0), ("last", last))
                },
            }
            for i, label in enumerate(traces.labels)
        ],
    }


def write(out: Path, result: dict[str, Any], title: str, traces: Traces, watch: Sequence[int]) -> None:
    """gradients.csv, .png and .json; with steps to watch, histogram.csv and .png. UserError if that cannot be."""
    files = {
        "gradients.csv": csv_table(("setting", "seed", "step", *STEP_COLUMNS), traces.rows()),
        "gradients.png": traces_figure(traces, title),
        "gradients.json": (json_text(result, indent=2) + "\n").encode(),
    }
    if watch:
        columns = ("setting", "seed", "step", "quantity", "low", "high", "count")
        files["histogram.csv"] = csv_table(columns, histogram.rows(traces.watched))
        files["histogram.png"] = histogram_figure(traces, watch)
    write_files(out, files)
