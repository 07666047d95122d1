"""What the suite says of a mutant."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from leakysm.verify.adapters import ModuleImplementation, arrays_named
from leakysm.verify.conformance import OTHERS_DTYPES, Settings, conform

from .mutant import Mutant
from .mutants import counts

SETTINGS = Settings(OTHERS_DTYPES, examples=10, shrink_seconds=0, first_failure=True)


def status(mutant: Mutant) -> str:
    """ "failed" is what a mistake deserves; a suite that crashes on it says nothing."""
    implementation = ModuleImplementation(mutant.functions, arrays_named(mutant.array), "planted:" + mutant.name)
    with np.errstate():  # a mutant may change it for good
        try:
            return conform(implementation, operations=[mutant.operation], settings=SETTINGS).rows[0].status
        except Exception as error:
            return f"crashed ({type(error).__name__}: {error})"


def passed(mutants: Iterable[Mutant]) -> list[str]:
    """The names of the mistakes that the suite let pass."""
    return [f"{m.family}: {m.name}" for m in mutants if status(m) != "failed" and counts(m)]
