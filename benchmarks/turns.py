"""Contenders take turns, A B C A B C, so that other work on the machine slows all of them alike.

A ratio compares two neighbouring turns; the result is the median of the ratios.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

TURN = 0.1  # seconds that a turn of short steps lasts, about
PAUSE = 0.03  # seconds before a turn: OpenMP threads keep the cores busy for a while after their work


class Contender:
    """One way to do a piece of work, or a part of it. kind: "ours", or one of a `Comparison`'s."""

    name: str
    kind: str

    def step(self, given: Any) -> Any:
        """Do it, or begin it."""
        raise NotImplementedError

    def finish(self) -> None:
        """Wait for all steps that were begun. By default `step` waits itself, and this does nothing."""


@dataclass
class Call(Contender):
    """A contender that is a function without arguments."""

    name: str
    kind: str
    function: Any

    def step(self, given: Any) -> None:
        self.function()


@dataclass(frozen=True)
class Comparison:
    """ratio: median of a peer's time over ours in the same round; above 1, ours is faster. Times in seconds a step:
    median, lower and upper quartile. kind: "peer", "floor" for a part of the work alone, "bound" for the time
    that is allowed."""

    peer: str
    size: str
    kind: str
    ratio: float
    ours: tuple[float, float, float]
    theirs: tuple[float, float, float]


def turn(contender: Contender, given: Sequence[Any], run_in: Sequence[Any] = ()) -> float:
    """Seconds a step; the time of `run_in` is not counted."""
    contender.finish()
    time.sleep(PAUSE)
    for each in run_in:
        contender.step(each)
    contender.finish()
    started = time.perf_counter()
    for each in given:
        contender.step(each)
    contender.finish()
    return (time.perf_counter() - started) / len(given)


def take_turns(players: Sequence[Contender], given: Sequence[Any], *, rounds: int, warm_up: int) -> np.ndarray:
    """Seconds a step, (rounds, players). `warm_up` turns of each player before them are not counted."""
    times = [[turn(player, given) for player in players] for _ in range(warm_up + rounds)]
    return np.array(times[warm_up:])


def take_turns_of_short_steps(players: Sequence[Contender], *, rounds: int) -> np.ndarray:
    """Seconds a step of players whose steps take no argument: a turn has as many steps as fit into TURN.

    About as many steps before them are not counted: BLAS threads of the last player may still be spinning, and cores
    that were idle are slow at first.
    """
    turns = [(player, [None] * _steps_of_a_turn(player)) for player in players]
    return np.array([[turn(player, steps, run_in=steps[1:]) for player, steps in turns] for _ in range(rounds)])


def _steps_of_a_turn(player: Contender) -> int:
    quick = min(turn(player, [None]) for _ in range(2))
    return max(1, min(1000, round(TURN / max(quick, 1e-6))))


def comparisons(players: Sequence[Contender], times: np.ndarray, size: str) -> list[Comparison]:
    """Compare every further player with the first."""
    quartiles = [_median_and_quartiles(column) for column in times.T]
    ratios = np.median(times / times[:, :1], axis=0)
    return [
        Comparison(player.name, size, player.kind, float(ratio), quartiles[0], own)
        for player, ratio, own in list(zip(players, ratios, quartiles, strict=True))[1:]
    ]


def _median_and_quartiles(seconds: np.ndarray) -> tuple[float, float, float]:
    median, lower, upper = np.percentile(seconds, (50, 25, 75))
    return float(median), float(lower), float(upper)
