"""The settings of a conformance check: how much to check, and in which dtypes."""

from __future__ import annotations

from dataclasses import dataclass

from leakysm.verify.case import DTYPES

OTHERS_DTYPES = ("float32", "float64")
OWN_DTYPES = DTYPES  # of this package


@dataclass(frozen=True)
class Settings:
    """How much is checked.

    strict: also check what only this package promises, float16 included. examples, seed: number and seed of the random
    cases of each operation. shrink_seconds: how long a failing case is made smaller. seconds: the time limit of each
    operation; the call that has begun, and those that watch its purity, are finished. The defaults are those of Python
    and pytest; the commands give their own. counterexamples: make the failure that says most small, and show
    it as code. every_flag: do so for every flag that fails. first_failure: leave an operation at its first failure.
    most_numbers: leave out the cases that hold more numbers. most_cases: take only so many fixed cases of each
    operation, the first ones. purity: call some cases in every layout and watch them for side effects on the program.
    """

    dtypes: tuple[str, ...] = OTHERS_DTYPES
    strict: bool = False
    examples: int = 25
    shrink_seconds: float = 1.5
    seed: int = 0
    seconds: float | None = None
    counterexamples: bool = True
    every_flag: bool = False
    first_failure: bool = False
    most_numbers: float = float("inf")
    most_cases: int | None = None
    purity: bool = True
