"""The early-sparsity experiment: the first steps of training under several distance metrics, side by side.

All metrics of a seed start at the same initial weights and see the same episodes. A step's figures are taken before its
update; `leakysm.training.sparsity` defines them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from leakysm.backends import Engine
from leakysm.data import Dataset
from leakysm.data.dataset import Report
from leakysm.errors import CheckFailed
from leakysm.experiments.gradients.observed import Floats, columns, observe
from leakysm.runs.build import build_trainer
from leakysm.runs.settings import TrainConfig, conv4_size
from leakysm.training.loss import Array, EpisodeLoss
from leakysm.training.trainer import STEP_COLUMNS, Trainer


@dataclass(frozen=True)
class Pairs:
    """All pairs of a query and a class in one step.

    distances (N, way). gradients (N, way): the magnitude of the summed loss's gradient with respect to each distance.
    """

    distances: Floats
    gradients: Floats


@dataclass(frozen=True)
class Traces:
    """The outcome of the experiment.

    figures (settings, seeds, steps, 7): the last axis is STEP_COLUMNS. observed (settings, seeds, steps, n): the last
    axis is `observed.columns` of the net's blocks. watched: the pairs of each watched step, by (label, seed, step).
    """

    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    figures: Floats
    observed: Floats
    watched: dict[tuple[str, int, int], Pairs]

    def figure(self, name: str) -> Floats:
        """One of `columns`: (settings, seeds, steps)."""
        n = len(STEP_COLUMNS)
        index = self.columns.index(name)
        return self.figures[..., index] if index < n else self.observed[..., index - n]

    @property
    def columns(self) -> tuple[str, ...]:
        """STEP_COLUMNS, and the names of what was observed."""
        return (*STEP_COLUMNS, *columns(self.observed.shape[3] - len(columns(0))))

    def rows(self, values: Floats) -> Iterator[tuple[str | int | float, ...]]:
        """(setting, seed, step, *values) of every step. values: `figures`, or `observed`."""
        for i, label in enumerate(self.labels):
            for j, seed in enumerate(self.seeds):
                for k, row in enumerate(values[i, j]):
                    yield label, seed, k, *map(float, row)


def compare_early_steps(
    configs: Mapping[str, TrainConfig],
    seeds: Sequence[int],
    data: Dataset,
    engine: Engine,
    steps: int,
    *,
    watch: Sequence[int] = (),
    report: Report | None = None,
) -> Traces:
    """The first `steps` training steps of every setting (configs by label) at every seed.

    watch: steps whose pairs are kept. report(done, total) is called after every step.
    CheckFailed, naming setting and seed, if a loss or gradient is not finite.
    """
    shape = (len(configs), len(seeds), steps)
    blocks = max((size[1] for config in configs.values() if (size := conv4_size(config))), default=0)
    figures, observed = np.empty((*shape, len(STEP_COLUMNS))), np.empty((*shape, len(columns(blocks))))
    watched: dict[tuple[str, int, int], Pairs] = {}
    labelled = list(configs.items())
    runs = [(i, j) for j in range(len(seeds)) for i in range(len(configs))]
    for run, (i, j) in enumerate(runs):
        label, config = labelled[i]
        trainer = build_trainer(replace(config, seed=seeds[j]), data, engine)
        for k in range(steps):
            try:
                figures[i, j, k], observed[i, j, k], pairs = _step(trainer)
            except CheckFailed as error:
                raise CheckFailed(f"{label}, seed {seeds[j]}: {error}") from None
            if k in watch:
                watched[label, seeds[j], k] = pairs
            if report:
                report(run * steps + k + 1, len(runs) * steps)
    return Traces(tuple(configs), tuple(seeds), figures, observed, watched)


def _step(trainer: Trainer) -> tuple[tuple[float, ...], Floats, Pairs]:
    """The next step: its row of STEP_COLUMNS, what is observed in it, and its pairs."""
    seen: list[tuple[Floats, Pairs]] = []

    def look(result: EpisodeLoss, gradient: Array) -> None:
        seen.append((observe(trainer, result, gradient), _pairs(trainer, result)))

    row = trainer.step(look).row
    return row, *seen[0]


def _pairs(trainer: Trainer, result: EpisodeLoss) -> Pairs:
    distances, gradients = (
        trainer.engine.to_host(array).astype(np.float64) for array in (result.distances, result.ddistances)
    )
    return Pairs(distances, np.abs(gradients) * len(distances))
