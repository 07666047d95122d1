"""Restricted distances: log on every pair of point sets, the others on some; every restriction's corners.

The sums over pairs are those of squared Euclidean distance, whatever the restriction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from leakysm.ops.restriction import Leak, Log, Restriction, Root
from leakysm.verify.case import Case
from leakysm.verify.cases.distances import distance_cases, leaky_cases
from leakysm.verify.cases.numbers import cotangent, noise, single

OPERATION = "restricted_squared_euclidean"
BY_SUFFIX: dict[str, Restriction] = {"": Log(2.0), "-root": Root(0.5), "-leak": Leak(0.75, 0.1)}
SOME = {
    "plain",
    "plain-half",
    "plain-double",
    "coincident-one",
    "ulp-apart",
    "far",
    "many-rows",
    "large",
    "overflow",
    "wide",
}


def restricted_cases() -> list[Case]:
    """Log on all pairs of point sets, root, leak and coordinates on some; the leaky distance's thresholds; corners."""
    pairs = [
        replace(case, stored=case.size < 200 or case.name == "wide")
        for suffix, restriction in BY_SUFFIX.items()
        for per, ending in (("pair", suffix), ("coordinate", f"{suffix}-per-coordinate"))
        for case in distance_cases(OPERATION, {"restriction": restriction, "per": per}, ending)
        if not ending or case.name.removesuffix(ending) in SOME
    ]
    return [*pairs, *_leaks(), *_joints(), *_corners()]


def _leaks() -> Iterator[Case]:
    """What the leaky distance is asked at its thresholds and limits."""
    for case in leaky_cases():
        if {"kink", "threshold", "limit"} & set(case.flags):
            given = dict(case.parameters)
            parameters = {"per": given.pop("per"), "restriction": Leak(**given)}
            yield replace(case, operation=OPERATION, name=f"leak-{case.name}", parameters=parameters)


def _case(
    name: str, x: Any, c: Any, flags: tuple[str, ...], restriction: Restriction, per: str, note: str = ""
) -> Case:
    dy = cotangent(name, (len(x), len(c)), x, c)
    return Case(
        OPERATION, name, (x, c), dy, {"restriction": restriction, "per": per}, flags, note or f"{restriction} per {per}"
    )


def _joints() -> Iterator[Case]:
    """Root where its two parts meet, which is no kink."""
    x, c = np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([[0.0, 0.0]])
    below, above = (float(np.nextafter(np.float32(25), np.float32(to))) for to in (0, 30))
    for name, t in (("at", 25.0), ("above", below), ("below", above)):
        yield _case(f"root-joint-{name}", x, c, ("threshold",), Root(t), "pair", f"d = 25, t = {t:.9g}")
    q = np.array([[2.0, 1.0, 3.0]])
    yield _case(
        "root-joint-per-coordinate", q, np.zeros((1, 3)), ("threshold",), Root(4.0), "coordinate", "one square is t"
    )
    sides = noise("rs", 4, 3), noise("rsc", 3, 3)
    yield _case("root-each-side", *sides, ("threshold",), Root(0.75), "pair", "some distances below t, some above")


def _corners() -> Iterator[Case]:
    x, c = noise("restricted x", 4, 5), noise("restricted c", 3, 5)
    for name, parameter in _SIZES.items():
        for restriction in (Log(parameter), Root(parameter)):
            for per in ("pair", "coordinate"):
                kind = type(restriction).__name__.lower()
                case = _case(f"corner-{kind}-{name}-per-{per}", x, c, ("corner",), restriction, per)
                # d / s and t d must not leave the range
                yield replace(case, own=name in _ENDS, stored=name not in ("larger", "thousandth"))
    for per in ("pair", "coordinate"):
        for name, leak in _LEAKS.items():
            yield _case(f"corner-leak-{name}-per-{per}", x, c, ("corner",), leak, per)
        yield _case(f"root-threshold-inf-per-{per}", x, c, ("limit",), Root(float("inf")), per)
        far = single(noise("restricted far", 3, 4) * 1e18), single(noise("restricted farc", 2, 4) * 1e18)
        for name, extreme in _AMONG_LARGE.items():
            yield replace(_case(f"large-{name}-per-{per}", *far, ("corner", "large"), extreme, per), own=True)
        near = single(x * 2.0**-50), single(c * 2.0**-50)
        for name, extreme in _AMONG_SMALL.items():
            yield replace(_case(f"near-{name}-per-{per}", *near, ("corner",), extreme, per), own=True)


def corner_restrictions() -> dict[str, Restriction]:
    """Every kind of restriction at the corners of its parameters, by name. No d / s and no t d of ordinary d overflows."""
    sized = {
        f"{type(restriction).__name__.lower()}-{name}": restriction
        for name, parameter in _SIZES.items()
        if name not in _ENDS
        for restriction in (Log(parameter), Root(parameter))
    }
    leaks = {f"leak-{name}": leak for name, leak in _LEAKS.items()}
    return {**sized, **leaks, "root-threshold-inf": Root(float("inf"))}


_LEAKS = {
    "threshold-zero": Leak(0.0, 0.375),
    "threshold-zero-slope-small": Leak(0.0, 2.0**-13),
    "threshold-small": Leak(2.0**-10, 0.5),
    "slope-three-quarters": Leak(2.0, 0.75),
    "threshold-huge": Leak(2.0**100, 0.125),
}
_AMONG_LARGE: dict[str, Restriction] = {
    "log-low": Log(2.0**-20),
    "log-high": Log(2.0**120),
    "root-low": Root(2.0**-20),
    "root-high": Root(2.0**121),
}
_AMONG_SMALL: dict[str, Restriction] = {"log-one": Log(1.0), "root-low": Root(2.0**-100), "log-low": Log(2.0**-100)}
_ENDS = ("least", "most")
_SIZES = {
    "least": 2.0**-120, "tiny": 2.0**-100, "small": 2.0**-12, "thousandth": 0.001, "tenth": 0.1, "ten": 10.0, "large": 2.0**12,
    "larger": 2.0**17,
    "huge": 2.0**100, "most": 2.0**120,
}  # fmt: skip
