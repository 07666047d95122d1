"""Hypothesis strategies for the corners where distances, softmaxes and their gradients break, for anybody to import.

All draw float64 arrays whose numbers the given `dtype` holds exactly, so that the same draw serves every wider dtype.
`arrays` has those for arrays and parameters. `calls` has `cases(operation)`, which draws whole calls.
"""

from leakysm.verify.strategies.arrays import (
    DTYPES,
    LAYOUTS,
    LOGIT_KINDS,
    PAIR_KINDS,
    arranged,
    arrays,
    cotangents,
    episodes,
    images,
    labels,
    layouts,
    logits,
    metrics,
    numbers,
    pairs,
    restrictions,
    slopes,
    support_labels,
    thresholds,
)
from leakysm.verify.strategies.calls import cases

__all__ = [
    "DTYPES",
    "LAYOUTS",
    "LOGIT_KINDS",
    "PAIR_KINDS",
    "arranged",
    "arrays",
    "cases",
    "cotangents",
    "episodes",
    "images",
    "labels",
    "layouts",
    "logits",
    "metrics",
    "numbers",
    "pairs",
    "restrictions",
    "slopes",
    "support_labels",
    "thresholds",
]
