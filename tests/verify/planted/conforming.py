"""What the suite says of a mutant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from leakysm.verify.adapters import ModuleImplementation, arrays_named
from leakysm.verify.conformance import OTHERS_DTYPES, Settings, conform

from .mutant import Mutant
from .mutants import counts

SETTINGS = Settings(OTHERS_DTYPES, examples=10, counterexamples=False, first_failure=True)


QUICK = replace(SETTINGS, most_numbers=10_000)


def status(mutant: Mutant, settings: Settings = SETTINGS) -> str:
    """ "failed" is what a mistake deserves; a suite that crashes on it says nothing."""
    implementation = ModuleImplementation(mutant.functions, arrays_named(mutant.array), "planted:" + mutant.name)
    with np.errstate():  # a mutant may change it for good
        try:
            return conform(implementation, operations=[mutant.operation], settings=settings).rows[0].status
        except Exception as error:
            return f"crashed ({type(error).__name__}: {error})"


def passed(mutants: Iterable[Mutant], settings: Settings = SETTINGS) -> list[str]:
    """The names of the mistakes that the suite let pass. Most fail without a look at purity, in less time."""
    return [
        f"{m.family}: {m.name}"
        for m in mutants
        if status(m, replace(settings, purity=False)) != "failed" and status(m, settings) != "failed" and counts(m)
    ]
