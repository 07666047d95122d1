"""A witness: one call on which a mistake shows. Made from the sizes of named axes and a fixed seed."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

import leakysm as lk
from leakysm import ops


@dataclass(frozen=True, eq=False)
class Witness:
    """A call: value(*arguments, **parameters) or, part "vjp", vjp(*arguments, dy, **parameters)."""

    operation: str
    arguments: tuple[Any, ...]
    dy: Any
    parameters: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float64"
    part: str = "value"

    def outputs(self, functions: SimpleNamespace) -> list[Any]:
        """What the functions make of it, always a list."""
        if self.part == "value":
            result = getattr(functions, self.operation)(*self.arguments, **self.parameters)
        else:
            result = getattr(functions, self.operation + "_vjp")(*self.arguments, self.dy, **self.parameters)
        return list(result) if isinstance(result, tuple | list) else [result]


@dataclass(frozen=True)
class Axes:
    """The named axes of what an operation takes and gives. "n" is all axes but those named after it, as one."""

    arguments: dict[str, tuple[str, ...]]
    dy: tuple[str, ...]
    outputs: dict[str, tuple[str, ...]]
    gradients: dict[str, tuple[str, ...]]

    def of(self, part: str) -> dict[str, tuple[str, ...]]:
        """Every place of a part: arguments, then (for a vjp) dy and the gradients, or else the outputs."""
        if part == "value":
            return {**self.arguments, **self.outputs}
        return {**self.arguments, "dy": self.dy, **self.gradients}


def _distance() -> Axes:
    return Axes({"x": ("N", "D"), "c": ("M", "D")}, ("N", "M"), {"y": ("N", "M")}, {"dx": ("N", "D"), "dc": ("M", "D")})


_IMAGE, _OUT, _HALF = ("N", "H", "W", "C"), ("N", "H", "W", "F"), ("N", "H/2", "W/2", "F")
_KERNEL = ("3", "3", "C", "F")
_ROWS = ("n", "C")


def _per_channel(*names: str, axis: str = "C") -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(names, (axis,))


AXES: dict[str, Axes] = {
    "squared_euclidean": _distance(),
    "leaky_squared_euclidean": _distance(),
    "euclidean": _distance(),
    "cosine_distance": _distance(),
    "prototypes": Axes({"z": ("S", "D")}, ("M", "D"), {"y": ("M", "D")}, {"dz": ("S", "D")}),
    "log_softmax": Axes({"logits": ("N", "M")}, ("N", "M"), {"y": ("N", "M")}, {"dlogits": ("N", "M")}),
    "cross_entropy": Axes({"logits": ("N", "M")}, (), {"y": ()}, {"dlogits": ("N", "M")}),
    "prototypical_loss": Axes(
        {"support": ("S", "D"), "query": ("Q", "D")}, (), {"y": ()}, {"dsupport": ("S", "D"), "dquery": ("Q", "D")}
    ),
    "conv2d": Axes({"x": _IMAGE, "w": _KERNEL}, _OUT, {"y": _OUT}, {"dx": _IMAGE, "dw": _KERNEL}),
    "relu": Axes({"x": ("n",)}, ("n",), {"y": ("n",)}, {"dx": ("n",)}),
    "max_pool2d": Axes({"x": _IMAGE}, (*_HALF[:3], "C"), {"y": (*_HALF[:3], "C")}, {"dx": _IMAGE}),
    "batch_norm": Axes(
        {"x": _ROWS, **_per_channel("scale", "shift")},
        _ROWS,
        {"y": _ROWS, **_per_channel("mean", "variance")},
        {"dx": _ROWS, **_per_channel("dscale", "dshift")},
    ),
    "batch_norm_inference": Axes(
        {"x": _ROWS, **_per_channel("scale", "shift", "mean", "variance")},
        _ROWS,
        {"y": _ROWS},
        {"dx": _ROWS, **_per_channel("dscale", "dshift", "dmean", "dvariance")},
    ),
    "conv_block": Axes(
        {"x": _IMAGE, "w": _KERNEL, **_per_channel("scale", "shift", axis="F")},
        _HALF,
        {"y": _HALF, **_per_channel("mean", "variance", axis="F")},
        {"dx": _IMAGE, "dw": _KERNEL, **_per_channel("dscale", "dshift", axis="F")},
    ),
    "conv_block_inference": Axes(
        {"x": _IMAGE, "w": _KERNEL, **_per_channel("scale", "shift", "mean", "variance", axis="F")},
        _HALF,
        {"y": _HALF},
        {"dx": _IMAGE, "dw": _KERNEL, **_per_channel("dscale", "dshift", "dmean", "dvariance", axis="F")},
    ),
    "restricted_squared_euclidean": _distance(),
    "distance_cross_entropy": Axes(
        {"x": ("N", "D"), "c": ("M", "D")}, (), {"y": ()}, {"dx": ("N", "D"), "dc": ("M", "D")}
    ),
}
OPERATIONS = tuple(AXES)
DISTANCES = OPERATIONS[:4]
LOSSES = ("prototypical_loss", "distance_cross_entropy")  # of a metric
METRICS = {
    "squared": lk.SquaredEuclidean(),
    "leaky": lk.LeakySquaredEuclidean(threshold=1.5, slope=0.2),
    "leaky per coordinate": lk.LeakySquaredEuclidean(threshold=0.05, slope=0.2, per="coordinate"),
    "euclidean": lk.Euclidean(),
    "cosine": lk.Cosine(),
    "log": lk.RestrictedSquaredEuclidean(lk.Log(0.5)),
    "root per coordinate": lk.RestrictedSquaredEuclidean(lk.Root(0.05), per="coordinate"),
}

_SMALL = {
    "N": 3, "M": 4, "D": 5, "S": 11, "Q": 6, "H": 4, "W": 6, "C": 3, "F": 2, "n": 7,
}  # fmt: skip


def argument_names(operation: str) -> list[str]:
    """All positional arguments of an operation, labels and counts included."""
    names = list(AXES[operation].arguments)
    return {
        "prototypes": ["z", "labels", "n_classes"],
        "cross_entropy": ["logits", "labels"],
        "prototypical_loss": ["support", "support_labels", "query", "query_labels"],
        "distance_cross_entropy": ["x", "c", "labels"],
    }.get(operation, names)


def default_parameters(operation: str, width: int) -> dict[str, Any]:
    """Parameters that leave some distances on either side of the threshold."""
    if operation == "leaky_squared_euclidean":
        return {"threshold": 2.0 * width, "slope": 0.25, "per": "pair"}
    if operation == "restricted_squared_euclidean":
        return {"restriction": lk.Log(1.0 * width), "per": "pair"}
    if operation in LOSSES:
        return {"distance": METRICS["squared"]}
    return {"eps": 1e-3} if "batch_norm" in operation or "block" in operation else {}


def labels_of(rows: int, classes: int, random: np.random.Generator) -> Any:
    """Every class at least once, the rest by chance, mixed: so shots differ."""
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, max(rows - classes, 0))])
    return random.permutation(labels).astype(np.int64)


def _arrays(operation: str, size: dict[str, int], random: np.random.Generator, dtype: str) -> tuple[tuple, Any]:
    def normal(*axes: str) -> Any:
        shape = tuple(size[a[0]] // 2 if a.endswith("/2") else 3 if a == "3" else size[a] for a in axes)
        return random.standard_normal(shape).astype(dtype)

    axes = AXES[operation]
    dy = np.asarray(random.uniform(0.5, 2), dtype=dtype) if axes.dy == () else normal(*axes.dy)
    named = {name: normal(*names) for name, names in axes.arguments.items()}
    if "variance" in named:
        named["variance"] = np.abs(named["variance"]) + np.dtype(dtype).type(0.1)
    if "scale" in named:
        named["scale"] = np.abs(named["scale"]) + np.dtype(dtype).type(0.25)
    if operation == "prototypes":
        return (named["z"], labels_of(size["S"], size["M"], random), size["M"]), dy
    if operation == "cross_entropy":
        return (named["logits"], random.integers(0, size["M"], size["N"])), dy
    shrink = np.dtype(dtype).type(1 / math.sqrt(size["D"]))
    if operation == "distance_cross_entropy":
        return (named["x"] * shrink, named["c"] * shrink, random.integers(0, size["M"], size["N"])), dy
    if operation == "prototypical_loss":
        support, query = named["support"] * shrink, named["query"] * shrink
        labels = labels_of(size["S"], size["M"], random)
        return (support, labels, query, random.integers(0, size["M"], size["Q"])), dy
    return tuple(named.values()), dy


@cache
def _made(operation: str, part: str, dtype: str, dims: tuple[tuple[str, int], ...]) -> Witness:
    size = {**_SMALL, **dict(dims)}
    if operation in ("prototypes", "prototypical_loss"):
        size["S"] = max(size["S"], size["M"]) if "S" in dict(dims) else max(size["S"], 2 * size["M"])
    random = np.random.default_rng(zlib.crc32(repr((operation, dims)).encode()))
    arguments, dy = _arrays(operation, size, random, dtype)
    return Witness(operation, arguments, dy, default_parameters(operation, size["D"]), dtype, part)


def witness(operation: str, part: str, dtype: str = "float64", parameters: dict | None = None, **dims: int) -> Witness:
    """A call of a part, with these sizes of axes, and parameters over the usual ones."""
    return _with(_made(operation, part, dtype, tuple(sorted(dims.items()))), tuple(sorted((parameters or {}).items())))


@cache
def _with(made: Witness, parameters: tuple[tuple[str, Any], ...]) -> Witness:
    return changed(made, parameters={**made.parameters, **dict(parameters)}) if parameters else made


def changed(made: Witness, **fields: Any) -> Witness:
    """The same call with other arguments, dy, parameters."""
    values = {name: getattr(made, name) for name in Witness.__dataclass_fields__}
    return Witness(**{**values, **fields})


def right(operation: str) -> SimpleNamespace:
    """The right functions."""
    names = (operation, operation + "_vjp")
    return SimpleNamespace(**{name: getattr(ops, name) for name in names})
