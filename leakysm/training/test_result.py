"""The result of one test, as an object and as an entry of `tests` in summary.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Form = tuple[str, int, int]  # what tests of two nets must share to be compared: name, queries, episodes


@dataclass(frozen=True)
class TestResult:
    """A trained net's accuracy over many episodes of one form.

    query: queries of each class. norm: the statistics that batch norm used, "running" or "episode". accuracy: the mean
    over the episodes, plus or minus interval (95 %: 1.96 standard errors, of this one trained net), in percent. error:
    the error rate in percent, which the within-alphabet protocol reports instead. per_episode: each episode's accuracy
    (episodes,) float64, from 0 to 1; empty where it is not known.
    Of a net from a run's folder, checkpoint is the file's name, after checkpoint_episode training episodes; finished
    says whether that is the best checkpoint of a run that was trained to its end.
    """

    __test__ = False  # not a class of tests for pytest to collect

    way: int
    shot: int
    query: int
    norm: str
    accuracy: float
    interval: float
    episodes: int
    error: float | None = None
    checkpoint: str | None = None
    checkpoint_episode: int | None = None
    finished: bool | None = None
    per_episode: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), compare=False, repr=False)

    @property
    def name(self) -> str:
        """What distinguishes the result among a run's: "5-way 1-shot"."""
        return f"{self.way}-way {self.shot}-shot"

    @property
    def form(self) -> Form:
        """What tests of two nets must share to be compared: name, query, episodes."""
        return self.name, self.query, self.episodes

    def __str__(self) -> str:
        if self.error is not None:
            rate = f"error {self.error:.2f} % +- {self.interval:.2f} %"
            return f"within alphabet, {self.name}, {self.episodes} runs: {rate}"
        return f"{self.name}, {self.episodes} test episodes: accuracy {self.accuracy:.2f} % +- {self.interval:.2f} %"

    def to_json(self) -> dict[str, Any]:
        """What is known, without the single episodes; of accuracy and error the one that the protocol reports."""
        names = ["way", "shot", "query", "norm", "accuracy", "interval", "episodes"]
        if self.error is not None:
            names = ["way", "shot", "norm", "error", "interval", "episodes"]
        names += ["checkpoint", "checkpoint_episode", "finished"]
        return {name: value for name in names if (value := getattr(self, name)) is not None}
