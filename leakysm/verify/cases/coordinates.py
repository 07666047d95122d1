"""Cases of restricted distances once more, with every coordinate restricted, which may be code of its own.

Not in the reference vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from leakysm.verify.case import Case


def of(cases: Sequence[Case]) -> Iterator[Case]:
    """The cases whose pairs are restricted. Those of which a sample is looked at may lie at a threshold; not these."""
    for case in cases:
        if case.parameters.get("per") == "pair" and case.sample is None:
            parameters = {**case.parameters, "per": "coordinate"}
            yield replace(case, name=f"{case.name}-per-coordinate", parameters=parameters, stored=False)
