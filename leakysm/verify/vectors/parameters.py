"""Convert an operation's parameters to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from leakysm.ops.metrics import METRICS, Metric, RestrictedSquaredEuclidean
from leakysm.ops.restriction import RESTRICTIONS, Restriction


def plain(value: Any) -> Any:
    """A parameter as JSON holds it: a metric or restriction as name and parameters, an infinite number as a string."""
    if isinstance(value, Restriction):
        name = next(name for name, kind in RESTRICTIONS.items() if type(value) is kind)
        return {"restriction": name, "parameters": {k: plain(v) for k, v in value.parameters.items()}}
    if hasattr(value, "operation"):
        return {"operation": value.operation, "parameters": {k: plain(v) for k, v in value.parameters.items()}}
    return repr(value) if isinstance(value, float) and not np.isfinite(value) else value


def parameter(value: Any) -> Any:
    """A parameter from its JSON: an object is a metric or a restriction, "inf" a number."""
    if isinstance(value, Mapping) and "restriction" in value:
        return RESTRICTIONS[value["restriction"]](**{k: parameter(v) for k, v in value["parameters"].items()})
    if isinstance(value, Mapping):
        every: list[type[Metric]] = [*METRICS.values(), RestrictedSquaredEuclidean]
        kinds = {kind.operation: kind for kind in every}
        return kinds[value["operation"]](**{k: parameter(v) for k, v in value["parameters"].items()})
    return float(value) if value == "inf" else value
