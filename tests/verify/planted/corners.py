"""Wrong at a parameter's corner, or in what a parameter or the cotangent means."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from leakysm import ops

from .mutant import (
    PARTS,
    Mutant,
    as_list,
    as_result,
    distance_of,
    on_arguments,
    on_outputs,
    planted,
    replaced,
    with_distance,
)
from .precision import _narrow_variance
from .witness import AXES, LOSSES, METRICS, OPERATIONS, changed, witness

PERS = ("pair", "coordinate")
EVER = math.inf

CORNERS: dict[str, tuple[dict[str, float], Callable[[float, float], bool]]] = {
    "t = inf": ({"threshold": math.inf, "slope": 0.25}, lambda t, s: math.isinf(t)),
    "t = 0": ({"threshold": 0.0, "slope": 0.25}, lambda t, s: t == 0),
    "s = 1": ({"threshold": 2.0, "slope": 1.0}, lambda t, s: s == 1),
    "t huge": ({"threshold": 1e30, "slope": 0.25}, lambda t, s: 1e20 < t < EVER),
    "t above all": ({"threshold": 1e4, "slope": 0.25}, lambda t, s: 1e3 < t < EVER),
    "t tiny": ({"threshold": 1e-30, "slope": 0.25}, lambda t, s: 0 < t < 1e-20),
    "t small": ({"threshold": 1e-3, "slope": 0.25}, lambda t, s: 0 < t < 1e-2),
    "s tiny": ({"threshold": 2.0, "slope": 1e-30}, lambda t, s: s < 1e-20),
    "s small": ({"threshold": 2.0, "slope": 1e-4}, lambda t, s: s < 1e-3),
    "t = 0, s = 1": ({"threshold": 0.0, "slope": 1.0}, lambda t, s: t == 0 and s == 1),
    "t = 0, s small": ({"threshold": 0.0, "slope": 1e-4}, lambda t, s: t == 0 and s < 1e-3),
    "t > 10": ({"threshold": 20.0, "slope": 0.25}, lambda t, s: 10 < t < EVER),
    "t < 1": ({"threshold": 0.5, "slope": 0.25}, lambda t, s: 0 < t < 1),
    "s > 0.5": ({"threshold": 2.0, "slope": 0.75}, lambda t, s: 0.5 < s < 1),
    "always": ({"threshold": 4.0, "slope": 0.25}, lambda t, s: True),
}

READINGS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "t as 1": lambda g: {"threshold": 1.0},
    "t as 0": lambda g: {"threshold": 0.0},
    "t as inf": lambda g: {"threshold": math.inf},
    "t squared": lambda g: {"threshold": g["threshold"] ** 2 if g["threshold"] < 1e150 else g["threshold"]},
    "root of t": lambda g: {"threshold": math.sqrt(g["threshold"])},
    "s as 0.1": lambda g: {"slope": 0.1},
    "s as 1": lambda g: {"slope": 1.0},
    "s squared": lambda g: {"slope": max(g["slope"] ** 2, 1e-300)},
    "s at least 0.01": lambda g: {"slope": max(g["slope"], 0.01)},
    "t at most 100": lambda g: {"threshold": min(g["threshold"], 100.0)},
    "t at least 0.01": lambda g: {"threshold": max(g["threshold"], 0.01)},
    "the other per": lambda g: {"per": "pair" if g.get("per", "pair") == "coordinate" else "coordinate"},
}


def _leaks(operation: str) -> Iterator[Mutant]:
    """Mistakes in the parameters of the leaky distance, or of a loss that uses it."""
    leaky = ops.LeakySquaredEuclidean
    for part in PARTS:
        for per in PERS:
            for corner, (choice, holds) in CORNERS.items():
                given = {**choice, "per": per}
                given = {"distance": leaky(**given)} if operation in LOSSES else given
                call = witness(operation, part, "float32" if len(corner) % 2 else "float64", given)

                def mine(g: dict[str, Any], holds: Any = holds, per: str = per) -> bool:
                    p = distance_of(g, leaky)
                    return p is not None and holds(p["threshold"], p["slope"]) and p.get("per", "pair") == per

                for reading, change in READINGS.items():
                    functions = on_arguments(
                        operation,
                        part,
                        lambda g, m=mine, f=change: with_distance(g, f(distance_of(g, leaky))) if m(g) else {},
                    )
                    yield from planted(f"corner: {corner}", f"{per}, {corner}: {reading}", call, functions)
                for effect, spoil in {
                    "zero": lambda outs: [o * 0 for o in outs],
                    "NaN": lambda outs: [o * np.nan for o in outs],
                    "inf": lambda outs: [o / 0 for o in outs],
                    "first result halved": lambda outs: [outs[0] / 2, *outs[1:]],
                    "last result negated": lambda outs: [*outs[:-1], -outs[-1]],
                }.items():
                    functions = on_outputs(
                        operation, part, lambda outs, g, mine=mine, spoil=spoil: spoil(outs) if mine(g) else outs
                    )
                    yield from planted(f"corner: {corner}", f"{per}, {corner}: {effect}", call, functions)


EPS_READINGS: dict[str, Callable[[float], float]] = {
    "ignored": lambda e: 0.0,
    "squared": lambda e: e * e,
    "root taken": math.sqrt,
    "1e-5 always": lambda e: 1e-5,
    "1e-3 always": lambda e: 1e-3,
    "doubled": lambda e: 2 * e,
    "at least 1e-5": lambda e: max(e, 1e-5),
    "at most 1e-3": lambda e: min(e, 1e-3),
    "1e-5 where 0": lambda e: e or 1e-5,
    "1e-12 where 0": lambda e: e or 1e-12,
    "ignored above 0.1": lambda e: 0.0 if e > 0.1 else e,
    "ignored below 1e-4": lambda e: 0.0 if e < 1e-4 else e,
    "ignored below 1e-8": lambda e: 0.0 if e < 1e-8 else e,
}
EPS_VALUES = (1e-5, 0.0, 0.5, 1e-3, 1e-9)


def _eps() -> Iterator[Mutant]:
    for operation in (o for o in OPERATIONS if "norm" in o or "block" in o):
        for part in PARTS:
            for reading, change in EPS_READINGS.items():
                functions = on_arguments(operation, part, lambda g, f=change: {"eps": f(g.get("eps", 1e-5))})
                for value in EPS_VALUES:
                    call = _narrow_variance(witness(operation, part, "float64", {"eps": value}))
                    if found := list(planted("corner: eps", f"eps {reading}", call, functions)):
                        yield from found
                        break
            default = _left_out(operation, part)
            yield from default


def _left_out(operation: str, part: str) -> Iterator[Mutant]:
    """Another default than 1e-5 where eps isn't given."""
    call = _narrow_variance(witness(operation, part, "float64", {"eps": 1e-5}))
    call = changed(call, parameters={})
    functions = replaced(operation, part, lambda original, *args, **p: original(*args, **({"eps": 1e-3} | p)))
    yield from planted("corner: eps", "eps 1e-3 where it isn't given", call, functions)


def _distance(operation: str) -> Iterator[Mutant]:
    others = {**METRICS, "leaky by default": ops.LeakySquaredEuclidean()}
    for part in PARTS:
        for name, metric in METRICS.items():
            call = witness(operation, part, "float64", {"distance": metric})
            for other_name, other in others.items():
                if other_name == name:
                    continue
                functions = on_arguments(
                    operation,
                    part,
                    lambda g, m=metric, o=other: (
                        {"distance": o}
                        if type(g["distance"]) is type(m)
                        and g["distance"].parameters.get("per") == m.parameters.get("per")
                        else {}
                    ),
                )
                yield from planted("corner: distance", f"{name} as {other_name}", call, functions)
        for key, fields in {
            "threshold": {"threshold": 1.0},
            "slope": {"slope": 0.1},
            "per": {"per": "pair"},
            "all but per": {"threshold": 1.0, "slope": 0.03},
            "threshold inf": {"threshold": math.inf},
        }.items():
            for name in ("leaky", "leaky per coordinate"):
                call = witness(operation, part, "float64", {"distance": METRICS[name]})
                functions = on_arguments(
                    operation,
                    part,
                    lambda g, f=fields: (
                        {"distance": dataclasses.replace(g["distance"], **f)}
                        if isinstance(g["distance"], ops.LeakySquaredEuclidean)
                        else {}
                    ),
                )
                yield from planted("corner: distance", f"{name}: {key} ignored", call, functions)


COTANGENTS: dict[str, Callable[[Any], Any]] = {
    "ignored": np.ones_like,
    "negated": lambda g: -g,
    "squared": lambda g: g * g,
    "its absolute value": np.abs,
    "its sign": np.sign,
    "clipped to 1": lambda g: np.clip(g, -1, 1),
    "halved": lambda g: g / 2,
    "plus 1": lambda g: g + g.dtype.type(1),
    "its positive part": lambda g: np.maximum(g, 0),
    "its first element everywhere": lambda g: np.full_like(g, g.flat[0]) if g.size else g,
    "its mean everywhere": lambda g: np.full_like(g, g.mean()) if g.size else g,
    "in Fortran's order": lambda g: g.ravel(order="F").reshape(g.shape),
    "reversed along the first axis": lambda g: g[::-1] if g.ndim else g,
    "reversed along the last axis": lambda g: g[..., ::-1] if g.ndim else g,
    "transposed where square": lambda g: g.T if g.ndim == 2 and g.shape[0] == g.shape[1] else g,
    "the first row for all": lambda g: np.broadcast_to(g[:1], g.shape).copy() if g.ndim else g,
    "without what is below 0.1": lambda g: np.where(np.abs(g) < 0.1, 0, g).astype(g.dtype),
    "large values clipped to 100": lambda g: np.clip(g, -100, 100),
    "where 1, right; else 1": lambda g: np.where(g == 1, g, 1).astype(g.dtype) if g.ndim == 0 else g,
}


def _cotangent() -> Iterator[Mutant]:
    for operation in OPERATIONS:
        dims = {"N": 4, "M": 4} if "M" in AXES[operation].dy else {}
        if operation == "prototypes":
            dims = {"M": 5, "D": 5}
        call = witness(operation, "vjp", "float64", **dims)
        gradients = list(AXES[operation].gradients)
        for title, change in COTANGENTS.items():
            given = changed(call, dy=call.dy * 1000) if "100" in title else call
            given = changed(given, dy=given.dy * 2) if title in ("clipped to 1", "its sign", "ignored") else given
            given = changed(given, dy=given.dy / 10) if "below 0.1" in title else given
            if call.dy.ndim == 0 and title == "its absolute value":
                given = changed(call, dy=-call.dy)

            def lowered(g: dict[str, Any], f: Any = change) -> dict[str, Any]:
                return {"dy": np.asarray(f(np.asarray(g["dy"])))} if "dy" in g else {}

            yield from planted("cotangent", f"dy {title}", given, on_arguments(operation, "vjp", lowered))
            for i, name in enumerate(gradients if len(gradients) > 1 else []):
                functions = replaced(operation, "vjp", _one_gradient(i, change))
                yield from planted("cotangent", f"dy {title}, for {name} alone", given, functions)


def _one_gradient(i: int, change: Callable[[Any], Any]) -> Callable[..., Any]:
    def function(original: Any, *args: Any, **parameters: Any) -> Any:
        outputs = as_list(original(*args, **parameters))
        dtype = outputs[0].dtype
        dy = np.asarray(change(np.asarray(args[-1], dtype=dtype)), dtype=dtype)
        outputs[i] = as_list(original(*args[:-1], dy, **parameters))[i]
        return as_result(outputs)

    return function


def mutants() -> Iterator[Mutant]:
    yield from _leaks("leaky_squared_euclidean")
    yield from itertools.islice(_leaks("distance_cross_entropy"), 0, None, 3)  # all readings and effects, in turn
    yield from _eps()
    for loss in LOSSES:
        yield from _distance(loss)
    yield from _cotangent()
