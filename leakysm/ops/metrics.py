"""Distance metrics as small frozen values that know their parameters: metric(x, c) and metric.vjp(x, c, dy)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from leakysm.choices import LEAKY_PER, LEAKY_SLOPE, LEAKY_THRESHOLD, Per
from leakysm.errors import UserError, suggestion
from leakysm.ops.arrays import Array
from leakysm.ops.registry import OPERATIONS
from leakysm.ops.restricted_squared_euclidean import require_per, require_restriction
from leakysm.ops.restriction import Leak, Restriction


@dataclass(frozen=True)
class Metric:
    """A distance metric. `name` is the command line's, `operation` the registry's, `parameters` its keywords."""

    name: ClassVar[str]
    operation: ClassVar[str]

    @property
    def parameters(self) -> dict[str, Any]:
        """The keywords of the operation."""
        return asdict(self)

    def __call__(self, x: Array, c: Array) -> Array:
        """Distances. x (N, D), c (M, D) -> (N, M)."""
        return OPERATIONS[self.operation].value(x, c, **self.parameters)

    def vjp(self, x: Array, c: Array, dy: Array) -> tuple[Array, Array]:
        """Gradients. dy (N, M) -> dx (N, D), dc (M, D)."""
        dx, dc = OPERATIONS[self.operation].vjp(x, c, dy, **self.parameters)
        return dx, dc

    def __str__(self) -> str:
        settings = " ".join(f"{key}={value}" for key, value in self.parameters.items())
        return f"{self.name} {settings}".rstrip()


@dataclass(frozen=True)
class SquaredEuclidean(Metric):
    """d = sum_k (x_k - c_k)^2."""

    name = "squared-euclidean"
    operation = "squared_euclidean"


@dataclass(frozen=True)
class LeakySquaredEuclidean(Metric):
    """d if d <= threshold, else threshold + slope (d - threshold): of a pair, or of each coordinate's square.

    Our definition; the paper's abstract prints none. UserError unless 0 <= threshold <= inf and 0 < slope <= 1.
    The defaults are the best of what was measured, for embeddings of 64 values (docs/results).
    """

    name = "leaky"
    operation = "leaky_squared_euclidean"
    threshold: float = LEAKY_THRESHOLD
    slope: float = LEAKY_SLOPE
    per: Per = LEAKY_PER

    def __post_init__(self) -> None:
        leak = Leak(self.threshold, self.slope)
        object.__setattr__(self, "threshold", leak.threshold)
        object.__setattr__(self, "slope", leak.slope)
        require_per(self.per)


@dataclass(frozen=True)
class RestrictedSquaredEuclidean(Metric):
    """r(d) of a pair's squared Euclidean distance d, or of each coordinate's square: r is any `Restriction`.

    UserError unless restriction is an instance of a subclass of `Restriction`, and per is "pair" or "coordinate".
    """

    name = "restricted"
    operation = "restricted_squared_euclidean"
    restriction: Restriction
    per: Per = "pair"

    def __post_init__(self) -> None:
        require_restriction(self.restriction)
        require_per(self.per)

    @property
    def parameters(self) -> dict[str, Any]:
        """The keywords of the operation."""
        return {"restriction": self.restriction, "per": self.per}

    def __str__(self) -> str:
        return f"{self.restriction} per={self.per}"


@dataclass(frozen=True)
class Euclidean(Metric):
    """d = sqrt(sum_k (x_k - c_k)^2): a control."""

    name = "euclidean"
    operation = "euclidean"


@dataclass(frozen=True)
class Cosine(Metric):
    """d = 1 - cos(x, c): a control."""

    name = "cosine"
    operation = "cosine_distance"


METRICS: dict[str, type[Metric]] = {m.name: m for m in (SquaredEuclidean, LeakySquaredEuclidean, Euclidean, Cosine)}


def require_metric(distance: Any) -> None:
    """UserError unless `distance` is a metric."""
    if not isinstance(distance, Metric):
        raise UserError(f"distance is {distance!r}; a metric is expected: leakysm.SquaredEuclidean() say")


def metric_named(name: str, **parameters: Any) -> Metric:
    """A metric by its command-line name; parameters that it does not have are a UserError, never ignored."""
    if name not in METRICS:
        raise UserError(f"unknown distance {name!r}; {suggestion(name, METRICS)}")
    metric = METRICS[name]
    known = [field.name for field in fields(metric)]
    for key in parameters:
        if key not in known:
            has = f"it has {', '.join(known)}" if known else "it has no parameter"
            raise UserError(f"distance {name} has no {key}, {has}; leave {key} out")
    return metric(**parameters)
