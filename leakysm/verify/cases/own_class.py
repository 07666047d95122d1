"""A restriction and a metric of somebody's own class, where a function may know the built-in ones by name or fields.

Not in the reference vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from leakysm.ops.metrics import Metric, RestrictedSquaredEuclidean
from leakysm.ops.restriction import Restriction
from leakysm.ops.squared_euclidean import squared_euclidean, squared_euclidean_vjp
from leakysm.verify.case import Case
from leakysm.verify.cases.contrasts import changed
from leakysm.verify.cases.equal import plain_case


class Arctan(Restriction):
    """r(d) = s atan(d / s), with one field of the name that `Log` has: it rises to s pi / 2."""

    scale: float = 2.0

    def value(self, xp: Any, d: Any) -> Any:
        """s atan(d / s)."""
        return self.scale * xp.atan(d / self.scale)

    def derivative(self, xp: Any, d: Any) -> Any:
        """1 / (1 + (d / s)^2)."""
        part = d / self.scale
        return 1 / (1 + part * part)


class Halved(Metric):
    """d(x, c) = |x - c|^2 / 2, which is no operation of leakysm."""

    def __call__(self, x: Any, c: Any) -> Any:
        """Distances (N, M)."""
        return squared_euclidean(x, c) / 2

    def vjp(self, x: Any, c: Any, dy: Any) -> Any:
        """Gradients of x (N, D) and c (M, D)."""
        return squared_euclidean_vjp(x, c, dy / 2)


def of(operation: str, cases: Sequence[Case]) -> Iterator[Case]:
    """The first plain case of an operation that takes a restriction or a metric, with `Arctan` or `Halved`."""
    plain, flags = plain_case(cases), ("own-class",)
    if operation in ("distance_cross_entropy", "prototypical_loss"):
        case = changed(plain, "own-class-metric", {}, "a metric of an own class", flags)
        yield replace(case, parameters={"distance": Halved()})
    for per in ("pair", "coordinate"):
        case = changed(plain, f"own-class-per-{per}", {}, f"a restriction of an own class, per {per}", flags)
        if operation == "restricted_squared_euclidean":
            yield replace(case, parameters={"restriction": Arctan(2.0), "per": per})
        elif operation in ("distance_cross_entropy", "prototypical_loss"):
            yield replace(case, parameters={"distance": RestrictedSquaredEuclidean(Arctan(2.0), per)})
