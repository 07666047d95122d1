"""The first episodes of a run, trained again and compared with its metrics.csv, row by row.

On the same engine and BLAS kernels, every row is the same to the bit. Other kernels round sums differently, and
training makes such differences larger from step to step. How much larger is measured: the same episodes are trained
once more from weights that differ in their last bits. Differences of that size can be due to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from leakysm.backends import Engine
from leakysm.data import Dataset
from leakysm.data.dataset import Report
from leakysm.errors import CheckFailed
from leakysm.runs import TrainConfig
from leakysm.runs.build import build_trainer
from leakysm.training.trainer import STEP_COLUMNS, Trainer

LAST_BIT = 2.0**-23  # of a float32, relative
FACTOR = 30  # a difference up to FACTOR times the one that other last bits cause counts as rounding
LEAST, MOST = 1e-6, 0.1  # differences below LEAST count as rounding; rows are compared until one may differ by MOST
COUNTS = (
    "accuracy",
    "vanished_distance_gradients",
    "vanished_query_gradients",
)  # fractions; one query more or less is allowed
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Again:
    """The result of training a run's first episodes again.

    episodes: the number that were trained. verdict: "same" to the bit; within "rounding" of float32; or "other".
    compared: the number of first episodes that could be compared; after these, rounding alone makes another run.
    said: where the rows begin to differ.
    """

    episodes: int
    verdict: Literal["same", "rounding", "other"]
    compared: int
    said: str = ""

    def __str__(self) -> str:
        began = f"the first {self.episodes} episodes trained again: "
        if self.verdict == "same":
            return f"{began}the same to the bit"
        if self.verdict == "other":
            return began + self.said
        rest = "" if self.compared == self.episodes else f"; only the first {self.compared} could be compared"
        return f"{began}within float32 rounding (other BLAS kernels){rest}"


def train_again(config: TrainConfig, data: Dataset, engine: Engine, lines: list[str], report: Report) -> Again:
    """Train an episode for each of the `lines` of metrics.csv after the first, which names the columns."""
    names, *rows = [line.split(",") for line in lines]
    columns = [name for name in STEP_COLUMNS if name in names]
    stored = [[row[names.index(name)] for name in columns] for row in rows]
    rounds = 2 * len(rows)  # steps of the progress bar; if all rows are the same, the second half is skipped
    trainer = build_trainer(config, data, engine)
    own = _rows(trainer, columns, len(rows), lambda done: report(done, rounds))
    written = [[f"{value:.9g}" for value in row] for row in own]
    if written == stored:
        report(rounds, rounds)
        return Again(len(rows), "same", len(rows))
    trainer = build_trainer(config, data, engine)
    _change_last_bits(trainer)
    other = _rows(trainer, columns, len(own), lambda done: report(len(rows) + done, rounds))
    return _judged(columns, np.array(stored, float), own, other, config.way * config.query)


def _rows(trainer: Trainer, columns: list[str], episodes: int, report: Callable[[int], None]) -> Floats:
    """The figures of training `episodes` episodes, (rows, columns); fewer rows if training fails on the way."""
    rows = []
    for done in range(1, episodes + 1):
        try:
            row = dict(zip(STEP_COLUMNS, trainer.step().row, strict=True))
        except CheckFailed:
            break
        rows.append([row[name] for name in columns])
        report(done)
    return np.array(rows, float).reshape(-1, len(columns))


def _change_last_bits(trainer: Trainer) -> None:
    net, optimizer = trainer.state()
    rng = np.random.default_rng(0)
    for name, array in net.items():
        net[name] = (array * (1 + LAST_BIT * rng.choice([-1, 1], array.shape))).astype(array.dtype)
    trainer.load_state(net, optimizer, 0)


def _judged(columns: list[str], stored: Floats, own: Floats, other: Floats, queries: int) -> Again:
    """The verdict from three tables of rows: metrics.csv, training again, and training from other last bits."""
    counts = np.isin(columns, COUNTS)
    n = min(len(own), len(other))
    rounding = _differences(other[:n], own[:n], counts)[:, ~counts].max(axis=1, initial=0)
    allowed = np.maximum(LEAST, FACTOR * np.maximum.accumulate(rounding))[:, None]
    compared = int(np.argmax(np.append(allowed[:, 0], np.inf) > MOST))
    differences = _differences(stored[:compared], own[:compared], counts)
    allowed = allowed[:compared] + np.where(counts & (allowed[:compared] > LEAST), 1 / queries, 0)
    beyond = np.argwhere(~(differences <= allowed))
    if len(beyond):
        row, column = beyond[0]
        said = (
            f"they differ from episode {row + 1} on: {columns[column]} is {own[row, column]:.9g}, metrics.csv says "
            f"{stored[row, column]:.9g}"
        )
        return Again(len(stored), "other", compared, said)
    if len(own) < len(stored) and compared == len(own):
        return Again(len(stored), "other", compared, f"training stops at episode {len(own) + 1}, metrics.csv goes on")
    return Again(len(stored), "rounding", compared)


def _differences(these: Floats, those: Floats, counts: NDArray[np.bool_]) -> Floats:
    """Absolute differences of counts, which are fractions; relative differences of all other columns."""
    scale = np.where(counts, 1, np.maximum(np.abs(those), np.finfo(np.float32).tiny))
    result: Floats = np.abs(these - those) / scale
    return result
