"""Wrong for one restriction, at a corner of its parameter, or in what the parameter means."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import leakysm as lk

from .mutant import PARTS, Mutant, distance_of, on_arguments, on_outputs, planted, replaced, with_distance
from .witness import LOSSES, witness

OPERATION = "restricted_squared_euclidean"
SIZES = {"tiny": 1e-30, "small": 1e-3, "half": 0.5, "large": 20.0, "above all": 1e4, "huge": 1e30}
RESTRICTIONS: dict[str, lk.Restriction] = {
    **{f"{kind.__name__} {name}": kind(size) for kind in (lk.Log, lk.Root) for name, size in SIZES.items()},
    "Root inf": lk.Root(math.inf),
    "Leak": lk.Leak(4.0, 0.25),
    "Leak at 0": lk.Leak(0.0, 0.25),
    "Leak at inf": lk.Leak(math.inf, 0.25),
    "Leak of slope 1": lk.Leak(2.0, 1.0),
    "Leak of small slope": lk.Leak(2.0, 1e-4),
}


def _first(restriction: Any) -> float:
    return float(next(iter(restriction.parameters.values())))


def _sized(change: Callable[[float], float]) -> Callable[[Any], Any]:
    """The restriction with another first parameter."""

    def changed(restriction: Any) -> Any:
        _, *rest = restriction.parameters.values()
        return type(restriction)(change(_first(restriction)), *rest)

    return changed


READINGS: dict[str, Callable[[Any], Any]] = {
    "its parameter as 1": _sized(lambda p: 1.0),
    "its parameter squared": _sized(lambda p: p * p if p < 1e100 else p),
    "the root of its parameter": _sized(math.sqrt),
    "its parameter doubled": _sized(lambda p: 2 * p),
    "its parameter at most 100": _sized(lambda p: min(p, 100.0)),
    "its parameter at least 0.01": _sized(lambda p: max(p, 0.01)),
    "its parameter in half precision": _sized(lambda p: float(np.float16(p)) if 1e-4 < p < 6e4 else p),
    "as log": lambda r: lk.Log(max(min(_first(r), 1e35), 1e-35)),
    "as root": lambda r: lk.Root(max(_first(r), 1e-35)),
    "as a leak": lambda r: lk.Leak(_first(r), 0.1),
    "none": lambda r: lk.Root(math.inf),
}
EFFECTS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "zero": lambda outs: [o * 0 for o in outs],
    "NaN": lambda outs: [o * np.nan for o in outs],
    "first result halved": lambda outs: [outs[0] / 2, *outs[1:]],
    "last result negated": lambda outs: [*outs[:-1], -outs[-1]],
}


def _corners(operation: str) -> Iterator[Mutant]:
    """Mistakes in the parameters of the restricted distance, or of a loss that uses it."""
    restricted = lk.RestrictedSquaredEuclidean
    for part in PARTS:
        for per in ("pair", "coordinate"):
            other = "coordinate" if per == "pair" else "pair"
            for corner, chosen in RESTRICTIONS.items():
                given: dict[str, Any] = {"restriction": chosen, "per": per}
                given = {"distance": restricted(**given)} if operation in LOSSES else given
                call = witness(operation, part, "float32" if len(corner) % 2 else "float64", given)

                def mine(given: dict[str, Any], chosen: Any = chosen, per: str = per) -> bool:
                    if (p := distance_of(given, restricted)) is None:
                        return False
                    restriction, near = p["restriction"], _near(_first(p["restriction"]), _first(chosen))
                    return type(restriction) is type(chosen) and p.get("per", "pair") == per and near

                def changed(given: dict[str, Any], change: Any, mine: Any = mine) -> dict[str, Any]:
                    return with_distance(given, change(distance_of(given, restricted))) if mine(given) else {}

                for reading, change in READINGS.items():
                    functions = on_arguments(
                        operation,
                        part,
                        lambda g, then=changed, f=change: then(g, lambda p: {"restriction": f(p["restriction"])}),
                    )
                    yield from planted("corner: restriction", f"{per}, {corner}: {reading}", call, functions)
                functions = on_arguments(operation, part, lambda g, f=changed, o=other: f(g, lambda p: {"per": o}))
                yield from planted("corner: restriction", f"{per}, {corner}: the other per", call, functions)
                for effect, spoil in EFFECTS.items():
                    functions = on_outputs(operation, part, lambda outs, g, m=mine, f=spoil: f(outs) if m(g) else outs)
                    yield from planted("corner: restriction", f"{per}, {corner}: {effect}", call, functions)


def _near(p: float, chosen: float) -> bool:
    """Whether a parameter is of the same kind: 0, infinite, or within a factor of 30 or so."""
    if chosen in (0, math.inf) or p in (0, math.inf):
        return p == chosen
    return abs(math.log(p / chosen)) < 3.5


FORMULAS: dict[str, tuple[type[lk.Restriction], Callable[[Any, float], Any]]] = {
    "log(1 + d / s)": (lk.Log, lambda d, s: s * np.log(1 + d / s)),
    "log(d / s)": (lk.Log, lambda d, s: s * np.log(np.maximum(d, 1e-300) / s)),
    "log2": (lk.Log, lambda d, s: s * np.log2(1 + d / s)),
    "without s before the log": (lk.Log, lambda d, s: np.log1p(d / s)),
    "its series": (lk.Log, lambda d, s: np.where(d < s / 100, d - d * d / (2 * s), s * np.log1p(d / s))),
    "log1p in float32": (lk.Log, lambda d, s: s * np.log1p((d / s).astype(np.float32)).astype(d.dtype)),
    "2 sqrt(t d)": (lk.Root, lambda d, t: np.where(d <= t, d, 2 * np.sqrt(t * d))),
    "sqrt(t d)": (lk.Root, lambda d, t: np.where(d <= t, d, np.sqrt(t * d))),
    "the root everywhere": (lk.Root, lambda d, t: 2 * np.sqrt(t * d) - t),
    "the root in float32": (lk.Root, lambda d, t: np.where(d <= t, d, 2 * np.sqrt((t * d).astype(np.float32)) - t)),
    "from 4 t on": (lk.Root, lambda d, t: np.where(d <= 4 * t, d, 2 * np.sqrt(t * d) - t)),
}


def _formulas() -> Iterator[Mutant]:
    """Another formula for r, on distances near 0 and on ordinary ones."""
    for title, (kind, formula) in FORMULAS.items():
        for near in (False, True):
            call = witness(OPERATION, "value", "float64", {"restriction": kind(0.01 if kind is lk.Root else 0.5)})
            x, c = call.arguments
            if near:
                call = type(call)(OPERATION, (x * 2.0**-16, c * 2.0**-16), call.dy, call.parameters)

            def function(
                original: Any, x: Any, c: Any, *, restriction: Any, per: str = "pair", k: Any = kind, f: Any = formula
            ) -> Any:
                if type(restriction) is not k or per != "pair" or math.isinf(_first(restriction)):
                    return original(x, c, restriction=restriction, per=per)
                return np.asarray(f(lk.squared_euclidean(x, c), _first(restriction)), dtype=x.dtype)

            name = f"{kind.__name__} as {title}{', near' if near else ''}"
            yield from planted("structure: restriction", name, call, replaced(OPERATION, "value", function))


DERIVATIVES: dict[str, tuple[type[lk.Restriction], Callable[[Any, float], Any]]] = {
    "1": (lk.Log, lambda d, s: 1 + 0 * d),
    "1 / (1 + d)": (lk.Log, lambda d, s: 1 / (1 + d)),
    "1 / (s + d)": (lk.Log, lambda d, s: 1 / (s + d)),
    "its square": (lk.Log, lambda d, s: (s / (s + d)) ** 2),
    "1, of a root": (lk.Root, lambda d, t: 1 + 0 * d),
    "t / d": (lk.Root, lambda d, t: np.where(d <= t, 1, t / d)),
    "half of it": (lk.Root, lambda d, t: np.where(d <= t, 1, np.sqrt(t / d) / 2)),
    "sqrt(t / d) everywhere": (lk.Root, lambda d, t: np.sqrt(t / d)),
    "in float32": (lk.Root, lambda d, t: np.where(d <= t, 1, np.sqrt((t / d).astype(np.float32)))),
}


def _derivatives() -> Iterator[Mutant]:
    for title, (kind, formula) in DERIVATIVES.items():
        for per in ("pair", "coordinate"):
            call = witness(OPERATION, "vjp", "float64", {"restriction": kind(4.0), "per": per})

            def function(
                original: Any,
                x: Any,
                c: Any,
                dy: Any,
                *,
                restriction: Any,
                per: str = "pair",
                k: Any = kind,
                f: Any = formula,
                p: str = per,
            ) -> Any:
                if type(restriction) is not k or per != p or math.isinf(_first(restriction)):
                    return original(x, c, dy, restriction=restriction, per=per)
                difference = x[:, None] - c[None]
                d = difference**2 if per == "coordinate" else lk.squared_euclidean(x, c)[:, :, None]
                terms = 2 * dy[:, :, None] * difference * f(d, _first(restriction))
                return terms.sum(1).astype(x.dtype), -terms.sum(0).astype(x.dtype)

            name = f"{kind.__name__}, {per}: derivative {title}"
            yield from planted("structure: restriction", name, call, replaced(OPERATION, "vjp", function))


def mutants() -> Iterator[Mutant]:
    yield from _corners(OPERATION)
    yield from itertools.islice(_corners("distance_cross_entropy"), 0, None, 3)  # all readings and effects, in turn
    yield from _formulas()
    yield from _derivatives()
