"""The early-sparsity experiment: the first steps of training under several distance metrics, side by side.

All metrics of a seed start at the same initial weights and see the same episodes. A step's figures are taken before its
update; `leakysm.training.sparsity` defines them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from leakysm.backends import Engine
from leakysm.data import Dataset
from leakysm.errors import CheckFailed
from leakysm.runs.build import build_trainer
from leakysm.runs.settings import TrainConfig
from leakysm.training.trainer import STEP_COLUMNS, Trainer

Floats = NDArray[np.float64]
Report = Callable[[int, int], None]  # steps done, steps in all


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

    figures (settings, seeds, steps, 7): the last axis is STEP_COLUMNS. watched: the pairs of each (label, seed, step)
    whose step was to be watched.
    """

    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    figures: Floats
    watched: dict[tuple[str, int, int], Pairs]

    def figure(self, name: str) -> Floats:
        """One of STEP_COLUMNS: (settings, seeds, steps)."""
        return self.figures[..., STEP_COLUMNS.index(name)]

    def rows(self) -> Iterator[tuple[str | int | float, ...]]:
        """(setting, seed, step, *STEP_COLUMNS) of every step."""
        for i, label in enumerate(self.labels):
            for j, seed in enumerate(self.seeds):
                for k, figures in enumerate(self.figures[i, j]):
                    yield label, seed, k, *map(float, figures)


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
    figures = np.empty((len(configs), len(seeds), steps, len(STEP_COLUMNS)))
    watched: dict[tuple[str, int, int], Pairs] = {}
    runs = [(i, j) for j in range(len(seeds)) for i in range(len(configs))]
    for run, (i, j) in enumerate(runs):
        label, config = list(configs.items())[i]
        trainer = build_trainer(replace(config, seed=seeds[j]), data, engine)
        for k in range(steps):
            if k in watch:
                watched[label, seeds[j], k] = _pairs(trainer)
            try:
                figures[i, j, k] = trainer.step().row
            except CheckFailed as error:
                raise CheckFailed(f"{label}, seed {seeds[j]}: {error}") from None
            if report:
                report(run * steps + k + 1, len(runs) * steps)
    return Traces(tuple(configs), tuple(seeds), figures, watched)


def _pairs(trainer: Trainer) -> Pairs:
    """The pairs of the step that comes next."""
    _, result = trainer.forward()
    distances, gradients = (
        trainer.engine.to_host(array).astype(np.float64) for array in (result.distances, result.ddistances)
    )
    return Pairs(distances, np.abs(gradients) * len(distances))
