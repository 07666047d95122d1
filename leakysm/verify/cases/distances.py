"""Pairs of point sets for the distances, and thresholds that are hard for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from leakysm.verify.case import Case
from leakysm.verify.cases.numbers import Floats, cotangent, half, noise, single, whole

# Long sums of squares of short numbers: in these dtypes the squares are exact, and their sums all round one way.
SHORT_AND_LONG = {"wide": ("float64",), "wider": ("float64",), "wide-half": ("float16", "float32", "float64")}

Pair = tuple[str, Any, Any, tuple[str, ...], str]


def pairs() -> Iterator[Pair]:
    """name, x (N, D), c (M, D), flags, note: for every metric."""
    yield from _ordinary()
    yield from _near()
    yield from _magnitudes()
    yield from _shapes()


def _ordinary() -> Iterator[Pair]:
    yield "plain", noise("px", 3, 5), noise("pc", 4, 5), ("plain",), "numbers of float32"
    yield "plain-double", noise("dx", 4, 6, bits=53), noise("dc", 3, 6, bits=53), ("plain",), "numbers of float64"
    yield "plain-half", noise("hx", 3, 7, bits=11), noise("hc", 2, 7, bits=11), ("plain",), "numbers of float16"
    yield "whole", whole("wx", 3, 4), whole("wc", 3, 4), ("plain",), "small integers: squares and sums are exact"


def _near() -> Iterator[Pair]:
    c = noise("near", 3, 6)
    yield "coincident-one", np.stack([c[1], noise("nearx", 6)]), c, ("coincident",), "one query lies on one prototype"
    yield "coincident-all", np.repeat(c[:1], 3, 0), np.repeat(c[:1], 2, 0), ("coincident",), "all points are one"
    yield "ulp-apart", single(_next_float32(c)), c, ("ulp-apart",), "every coordinate one float32 ulp apart"
    d = noise("near64", 3, 6, bits=53)
    yield "ulp-apart-double", np.nextafter(d, 2), d, ("ulp-apart",), "every coordinate one float64 ulp apart"
    far = single(1e4 + noise("far", 3, 5))
    yield "far", far, single(1e4 + noise("farc", 4, 5)), ("far",), "1e4 from the origin, differences of 1"
    yield "far-coincident", far, single(far[:2]), ("far", "coincident"), "1e4 from the origin, two on prototypes"
    yield (
        "far-double",
        1e8 + noise("far64", 3, 4),
        1e8 + noise("far64c", 2, 4),
        ("far",),
        "1e8 from the origin, differences of 1",
    )
    many = single(100 + noise("many", 30, 4))
    yield "many-rows", many, many[:5], ("many-rows", "far", "coincident"), "30 queries near 100, five on prototypes"
    close = single(1 + noise("close", 30, 8) / 1024)
    yield (
        "many-rows-close",
        close,
        single(1 + noise("closec", 5, 8) / 1024),
        ("many-rows", "far"),
        "30 queries, differences of 1e-3 near 1",
    )


def _next_float32(values: Floats) -> Any:
    return np.nextafter(values.astype(np.float32), np.float32(2))


def _magnitudes() -> Iterator[Pair]:
    x, c = noise("mx", 3, 4), noise("mc", 2, 4)
    yield (
        "squares-underflow",
        single(x * 1e-22),
        single(c * 1e-22),
        ("subnormal",),
        "squares near 1e-44, below float32's normal numbers",
    )
    yield "subnormal", single(x * 1e-40), single(c * 1e-40), ("subnormal",), "coordinates are subnormal in float32"
    yield "subnormal-double", x * 1e-310, c * 1e-310, ("subnormal",), "coordinates are subnormal in float64"
    yield "squares-underflow-double", x * 1e-160, c * 1e-160, ("subnormal",), "squares near 1e-320"
    yield "large", single(x * 1e18), single(c * 1e18), ("large",), "squared distances near 1e37, just finite in float32"
    yield "overflow", single(x * 1e20), single(c * 1e20), ("overflow",), "squared distances near 1e41, beyond float32"
    yield "large-double", x * 1e153, c * 1e153, ("large",), "squared distances near 1e307, just finite in float64"
    yield "overflow-double", x * 1e200, c * 1e200, ("overflow",), "squared distances beyond float64"
    yield (
        "half-overflow",
        half(x * 300),
        half(c * 300),
        ("half-overflow",),
        "squared distances beyond float16, not beyond float32",
    )
    powers = np.array([1e-12, 1e-6, 1.0, 1e6])
    yield "mixed", single(x * powers), single(c * powers), ("mixed",), "coordinates from 1e-12 to 1e6"


def _shapes() -> Iterator[Pair]:
    yield "one", noise("onex", 1, 3), noise("onec", 1, 3), ("one",), "one query, one class"
    yield "one-class", noise("ocx", 4, 3), noise("occ", 1, 3), ("one",), "one class"
    yield "one-coordinate", noise("d1x", 3, 1), noise("d1c", 4, 1), ("one",), "D = 1"
    yield "no-coordinate", np.zeros((3, 0)), np.zeros((2, 0)), ("empty",), "D = 0: all distances are 0"
    yield "wide", noise("wdx", 2, 1600), noise("wdc", 1, 1600), ("wide",), "D = 1600, the embedding of an 84x84 image"
    yield "wide-half", noise("whx", 1, 1600, bits=11), noise("whc", 1, 1600, bits=11), ("wide",), "D = 1600 in float16"
    yield "wider", noise("wrx", 2, 3000), noise("wrc", 1, 3000), ("wide",), "D = 3000, more than a tile"
    near = whole("mq", 400, 2)
    yield "many-queries", near, near[:3] + 0.5, ("many-rows",), "400 queries, more than a tile"
    yield "many-classes", near[:3] + 0.5, near, ("many-rows",), "400 classes, more than a tile"
    corners = np.eye(4) * 2
    yield "equal", np.zeros((2, 4)), corners, ("equal-distances",), "queries at the centre of a simplex of prototypes"
    x = noise("zv", 3, 4)
    zero = x.copy()
    zero[1] = 0
    yield (
        "zero-vector",
        zero,
        single(np.stack([x[0], np.zeros(4)])),
        ("zero-vector", "coincident"),
        "a query and a prototype at the origin",
    )
    parallel = single(np.stack([x[0] * 2, -x[0], x[0][[1, 0, 3, 2]] * np.array([1, -1, 1, -1])]))
    yield "parallel", parallel, x[:1], ("parallel",), "a multiple, the opposite, and one at right angles"


def distance_cases(operation: str, parameters: Mapping[str, Any] | None = None, suffix: str = "") -> list[Case]:
    """Every pair as a case of one metric."""
    return [
        Case(
            operation,
            name + suffix,
            (x, c),
            cotangent(name, (len(x), len(c)), x, c),
            parameters or {},
            flags,
            note,
            "empty" in flags,
            SHORT_AND_LONG.get(name, ()),
        )
        for name, x, c, flags, note in pairs()
    ] + _no_rows(operation, parameters or {}, suffix)


def _no_rows(operation: str, parameters: Mapping[str, Any], suffix: str) -> list[Case]:
    shapes = {"no-query": (0, 2), "no-class": (2, 0)}
    return [
        Case(
            operation, name + suffix, (noise("nr", n, 3), noise("nc", m, 3)), np.zeros((n, m)), parameters, ("empty",),
            f"N = {n}, M = {m}", own=True,
        )
        for name, (n, m) in shapes.items()
    ]  # fmt: skip


def leaky_cases() -> list[Case]:
    """The pairs with a usual threshold and slope, per pair and per coordinate, and the threshold's own corners."""
    usual = {"threshold": 1.0, "slope": 0.1, "per": "pair"}
    some = {
        "plain",
        "plain-half",
        "coincident-one",
        "ulp-apart",
        "far",
        "many-rows",
        "subnormal",
        "large",
        "overflow",
        "wide",
        "no-coordinate",
    }
    per_coordinate = [
        case for case in distance_cases("leaky_squared_euclidean", usual | {"per": "coordinate"}, "-per-coordinate")
        if case.name.removesuffix("-per-coordinate") in some
    ]  # fmt: skip
    return distance_cases("leaky_squared_euclidean", usual) + per_coordinate + _thresholds() + _limits()


def _leaky(name: str, x: Any, c: Any, flags: tuple[str, ...], note: str, own: bool = False, **parameters: Any) -> Case:
    settings = {"threshold": 1.0, "slope": 0.1, "per": "pair"} | parameters
    dy = cotangent(name, (len(x), len(c)), x, c)
    return Case("leaky_squared_euclidean", name, (x, c), dy, settings, flags, note, own)


def _thresholds() -> list[Case]:
    x, c = np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([[0.0, 0.0]])
    q = np.array([[2.0, 1.0, 3.0]])
    grey = noise("kink", 1, 8), noise("kinkc", 1, 8)
    d = float(np.sum((grey[0] - grey[1]) ** 2))
    return [
        _leaky("kink", x, c, ("kink",), "d = 25 = t exactly: value 25, factor 1", threshold=25.0, slope=0.25),
        _leaky("kink-above", x, c, ("threshold",), "t one float32 ulp below d = 25", threshold=float(np.nextafter(np.float32(25), np.float32(0)))),
        _leaky("kink-below", x, c, ("threshold",), "t one float32 ulp above d = 25", threshold=float(np.nextafter(np.float32(25), np.float32(30)))),
        _leaky("kink-per-coordinate", q, np.zeros((1, 3)), ("kink",), "one square equals t = 4", threshold=4.0, slope=0.25, per="coordinate"),
        _leaky("threshold-in-doubt", *grey, ("threshold",), "t is d rounded to float32: within d's own bound", threshold=float(np.float32(d))),
        _leaky("threshold-in-doubt-double", *grey, ("threshold",), "t is d rounded to float64", threshold=d),
        _leaky("one-each-side", noise("os", 4, 3), noise("osc", 3, 3), ("threshold",), "some distances below, some above", threshold=0.75, slope=0.25),
        _leaky("coordinates-each-side", noise("cs", 3, 5), noise("csc", 3, 5), ("threshold",), "squares on both sides", threshold=0.25, slope=0.125, per="coordinate"),
    ]  # fmt: skip


def _limits() -> list[Case]:
    x, c = noise("lx", 3, 4, bits=11), noise("lc", 2, 4, bits=11)
    half_x = half(noise("lhx", 2, 3) * 300)
    return [
        _leaky("slope-one", x, c, ("limit",), "slope 1 is squared Euclidean", slope=1.0),
        _leaky("threshold-inf", x, c, ("limit",), "threshold inf is squared Euclidean", threshold=float("inf")),
        _leaky("threshold-zero", x, c, ("limit",), "threshold 0 is pure scaling", threshold=0.0),
        _leaky("threshold-zero-coincident", x, x[:2], ("limit", "coincident"), "d = t = 0", threshold=0.0),
        _leaky("small-slope", x * 64, c, ("limit",), "slope 2^-20: the threshold dominates", slope=2.0**-20),
        _leaky("small-threshold", x, c, ("limit",), "threshold 1e-30, far below every distance", threshold=1e-30),
        _leaky("large-threshold", single(x * 1e15), c, ("limit", "large"), "threshold 1e30, distances near it", threshold=1e30, slope=0.5),
        _leaky("half-overflow-restricted", half_x, half_x[:, ::-1].copy(), ("half-overflow",), "d beyond float16, restricted within it", slope=2.0**-6),
        _leaky("slope-one-per-coordinate", x, c, ("limit",), "slope 1, per coordinate", slope=1.0, per="coordinate"),
        _leaky("threshold-zero-per-coordinate", x, c, ("limit",), "threshold 0, per coordinate", threshold=0.0, per="coordinate"),
    ]  # fmt: skip
