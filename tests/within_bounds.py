"""The one assertion about accuracy: every element within its bound in leakysm/verify/table.py."""

from collections.abc import Sequence
from typing import Any

from leakysm.verify import entries  # noqa: F401  (registers the package's operations)
from leakysm.verify.bounds import Order, Precision
from leakysm.verify.case import Case
from leakysm.verify.judging import judged
from leakysm.verify.registry import ENTRIES, Truth


def assert_within_bounds(case: Case, part: str, dtype: str, results: Sequence[Any], order: Order = "ours") -> None:
    """results: every output (part "value") or gradient (part "vjp") of the case, computed in `dtype`."""
    verdicts = judged(Truth(ENTRIES[case.operation], case), part, Precision(dtype), results, order)
    worst = [float(verdict.ratio.max(initial=0)) for verdict in verdicts]
    assert max(worst) <= 1, f"{case.id}, {part} in {dtype}: errors of {worst} times their bounds"
