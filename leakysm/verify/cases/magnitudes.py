"""Plain cases whose numbers are multiplied by a power of two: what holds near 1 must hold at any size.

Powers beyond 127 are for float64 alone. A constant that stands for infinity or for 0, a guard that is added or left out only somewhere, a series that is used
too far: they show where numbers have their size. Not in the reference vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from leakysm.ops.metrics import LeakySquaredEuclidean
from leakysm.ops.restriction import Leak, Log, Restriction, Root
from leakysm.verify.case import Case
from leakysm.verify.cases.equal import plain_case

# The arguments that are multiplied together, by their place, and the powers of two. Restricted distances keep their
# share of distances beyond the threshold: it is multiplied by the square.
_DISTANCE = (((0, 1), (-50, -30, -17, -8, 8, 17, 30, 50, -200, 200)),)
_ELEMENTS = (((0,), (-120, -100, -60, -30, -17, 17, 30, 60, 100, 118, -300, 300)),)
_POWERS: Mapping[str, Sequence[tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "squared_euclidean": _DISTANCE,
    "euclidean": _DISTANCE,
    "cosine_distance": (((0,), (-50, -17, 17, 50)), ((1,), (-50, -17, 17, 50))),
    "leaky_squared_euclidean": _DISTANCE,
    "restricted_squared_euclidean": _DISTANCE,
    "prototypes": _ELEMENTS,
    "log_softmax": (((0,), (-60, -30, -17, -8, -3, 3, 5, 200)),),
    "cross_entropy": (((0,), (-60, -30, -17, -8, -3, 3, 5, 200)),),
    "distance_cross_entropy": (((0, 1), (-17, -8, -3, 1, 3)),),
    "prototypical_loss": (((0, 2), (-17, -8, -3, 1, 3)),),
    "conv2d": (((0,), (-50, -20, 20, 50, -200, 200)), ((1,), (-50, -20, 20, 50))),
    "relu": _ELEMENTS,
    "max_pool2d": _ELEMENTS,
    "batch_norm": (((0,), (-17, -8, -4, 4, 8, 12, 16, 20, 25, 200)), ((1, 2), (-30, 30))),
    "batch_norm_inference": (((0, 3), (-17, 8, 17)), ((4,), (-17, -8, 8, 17, 25)), ((1, 2), (-30, 30))),
    "conv_block": (((0,), (-17, -8, 8, 12, 17, 22)), ((1,), (-12, 12)), ((2, 3), (-30, 30))),
    "conv_block_inference": (((0, 4), (-17, 8, 17)), ((5,), (-12, 8, 20)), ((2, 3), (-30, 30))),
}


def of(operation: str, cases: Sequence[Case]) -> Iterator[Case]:
    """The first plain case of an operation with some of its arguments multiplied."""
    # Of numbers of both signs nearly every window's maximum is positive.
    plain = next(c for c in cases if c.name == "negative") if operation == "max_pool2d" else plain_case(cases)
    for places, powers in _POWERS[operation]:
        names = "-".join(plain.definition.arguments[place].name for place in places)
        for power in powers:
            arguments = [a * 2.0**power if at in places else a for at, a in enumerate(plain.arguments)]
            parameters = {name: _multiplied(value, name, 4.0**power) for name, value in plain.parameters.items()}
            yield replace(
                plain, name=f"magnitude-{names}-2^{power}", arguments=tuple(arguments), parameters=parameters,
                flags=("magnitude",), note=f"{names} times 2^{power}", stored=False,
            )  # fmt: skip


# The parameter of a distance that is itself a squared distance.
_SQUARED_DISTANCE: Mapping[type[Any], str] = {
    LeakySquaredEuclidean: "threshold",
    Leak: "threshold",
    Log: "scale",
    Root: "threshold",
}


def _multiplied(value: Any, name: str, factor: float) -> Any:
    """A parameter that is a squared distance, or has one, for distances that are `factor` times as large."""
    field = _SQUARED_DISTANCE[type(value)] if isinstance(value, LeakySquaredEuclidean | Restriction) else None
    if field is not None:
        return replace(value, **{field: getattr(value, field) * factor})
    return value * factor if name == "threshold" else value
