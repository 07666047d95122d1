"""Parameters at the ends of their ranges, badly conditioned input, and full mantissas for long sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from leakysm.choices import Per
from leakysm.ops.metrics import Euclidean, LeakySquaredEuclidean, Metric, RestrictedSquaredEuclidean, SquaredEuclidean
from leakysm.ops.restriction import Leak, Log, Restriction, Root
from leakysm.verify.case import Case
from leakysm.verify.cases.numbers import cotangent, cyclic, half, noise, single
from leakysm.verify.cases.restricted import corner_restrictions

INF = float("inf")
PERS: tuple[Per, ...] = ("pair", "coordinate")

LEAKS: dict[str, tuple[float, float]] = {  # threshold and slope
    "threshold-inf": (INF, 0.125),
    "threshold-zero": (0.0, 0.375),
    "threshold-huge": (2.0**120, 0.125),
    "threshold-beyond-float32": (2.0**200, 0.125),
    "threshold-tiny": (2.0**-100, 0.125),
    "threshold-small": (2.0**-10, 0.5),
    "threshold-large": (64.0, 0.5),
    "slope-one": (0.5, 1.0),
    "slope-nearly-one": (0.5, 1 - 2.0**-24),
    "slope-tiny": (0.5, 2.0**-20),
    "slope-tenth": (0.5, 0.1),
    "both-ends": (0.0, 1.0),
}
LEAKS_TOGETHER = {  # not in the reference vectors
    "threshold-zero-slope-small": (0.0, 2.0**-13),
    "threshold-zero-slope-tiny": (0.0, 2.0**-100),
    "threshold-small-slope-small": (2.0**-10, 2.0**-13),
    "threshold-tiny-slope-one": (2.0**-100, 1.0),
    "threshold-huge-slope-one": (2.0**120, 1.0),
    "threshold-inf-slope-tiny": (INF, 2.0**-100),
    "slope-small": (0.5, 2.0**-13),
    "slope-vanishing": (0.5, 2.0**-100),
    "slope-three-quarters": (2.0, 0.75),
}


def of(operation: str) -> list[Case]:
    """The corner cases of an operation."""
    return list(_FAMILIES[operation](operation)) if operation in _FAMILIES else []


def _pair(operation: str, name: str, x: Any, c: Any, flags: tuple[str, ...], note: str, **parameters: Any) -> Case:
    return Case(operation, name, (x, c), cotangent(name, (len(x), len(c)), x, c), parameters, flags, note)


def _wide(operation: str, parameters: Mapping[str, Any], suffix: str = "") -> Iterator[Case]:
    """Long sums of numbers of 53 bits, whose roundings go both ways."""
    for d in (100, 1600):
        x, c = noise(f"wide double x {d}", 2, d, bits=53), noise(f"wide double c {d}", 2, d, bits=53)
        note = f"D = {d}, numbers of float64"
        yield _pair(operation, f"wide-double-{d}{suffix}", x, c, ("wide",), note, **parameters)


def _distance(operation: str) -> Iterator[Case]:
    yield from _wide(operation, {})
    yield from _far(operation, {})


def _far(operation: str, parameters: Mapping[str, Any]) -> Iterator[Case]:
    """Many coordinates far from the origin, where |x|^2 - 2 x.c + |c|^2 cancels. Not in the reference vectors."""
    for name, bits, origin in (("", 24, 1e3), ("-double", 53, 1e7)):
        x, c = (origin + noise(f"far {a}{name}", n, 40, bits=bits) for a, n in (("x", 4), ("c", 3)))
        if bits == 24:
            x, c = single(x), single(c)
        note = f"D = 40, {origin:g} from the origin, differences of 1"
        yield replace(_pair(operation, f"far-wide{name}", x, c, ("far", "wide"), note, **parameters), stored=False)


def _leaky(operation: str) -> Iterator[Case]:
    x, c = noise("corner x", 4, 5), noise("corner c", 3, 5)
    for per in ("pair", "coordinate"):
        for name, (t, s) in (LEAKS | LEAKS_TOGETHER).items():
            case = _pair(
                operation, f"corner-{name}-per-{per}", x, c, ("corner",), f"t = {t:g}, s = {s:g}, per {per}",
                threshold=t, slope=s, per=per,
            )  # fmt: skip
            yield replace(case, stored=name in LEAKS)
        yield from _wide(operation, {"threshold": 0.5, "slope": 0.125, "per": per}, f"-per-{per}")
        far = single(noise("corner far", 3, 4) * 1e12), single(noise("corner farc", 2, 4) * 1e12)
        yield _pair(
            operation, f"corner-threshold-among-large-per-{per}", *far, ("corner", "large"), "t = 1e24 among the distances",
            threshold=float(np.float32(1e24)), slope=0.25, per=per,
        )  # fmt: skip
        large = noise("corner beyond", 3, 4) * 2.0**70, noise("corner beyond c", 2, 4)
        for name in ("threshold-inf", "threshold-huge"):
            t, s = LEAKS[name]
            beyond = _pair(
                operation, f"corner-{name}-overflow-per-{per}", *large, ("corner", "overflow"),
                f"t = {t:g}, distances beyond float32", threshold=t, slope=s, per=per,
            )  # fmt: skip
            yield replace(beyond, stored=False)
    yield from _far(operation, {"threshold": 12.0, "slope": 0.125, "per": "pair"})
    yield from _open_choices(operation)


def _open_choices(operation: str) -> Iterator[Case]:
    """Equal rows, so that several distances lie within rounding of one threshold."""
    x = single(np.full((3, 1), -0.18100266))
    c = single(np.array([[-1.2811013], [-1.2811013], [0.919096]]))
    for per in ("pair", "coordinate"):
        yield _pair(
            operation, f"several-in-doubt-per-{per}", x, c, ("threshold",), "nine distances within rounding of t",
            threshold=float(np.float32(1.210217)), slope=float(np.float32(0.1)), per=per,
        )  # fmt: skip
        rows = np.repeat(noise("doubt x", 1, 3), 12, 0), np.repeat(noise("doubt c", 1, 3), 9, 0)
        squares = (rows[0][:1] - rows[1][:1]) ** 2
        t = float(np.float32(squares.sum() if per == "pair" else squares[0, 1]))
        yield _pair(
            operation, f"all-in-doubt-per-{per}", *rows, ("threshold",), "108 equal distances within rounding of t",
            threshold=t, slope=0.25, per=per,
        )  # fmt: skip


def _batches() -> Iterator[tuple[str, Any, tuple[str, ...], str, float]]:
    """Batches for batch norm: name, x, flags, note and eps of each."""
    x = noise("corner b", 9, 3)
    for name, eps in (("zero", 0.0), ("small", 1e-8), ("thousandth", 1e-3), ("half", 0.5), ("ten", 10.0)):
        yield f"corner-eps-{name}", x, ("corner",), f"eps {eps:g}", eps
    for power in (8, 12):
        means = single(2.0**power * (1 + noise(f"corner mean {power}", 3) / 8))
        yield (
            f"mean-2^{power}", single(means + noise(f"corner m {power}", 40, 3)), ("large-mean",),
            f"mean near {2**power}, deviation 0.6", 1e-5,
        )  # fmt: skip
    wide = 2.0**24 + noise("corner md", 40, 3, bits=53)
    yield "mean-2^24-double", wide, ("large-mean",), "mean near 2^24, deviation 0.6, numbers of float64", 1e-5
    yield "squares-overflow", single(noise("corner o", 8, 2) * 1e25), ("overflow",), "squares beyond float32", 1e-5
    yield "squares-overflow-double", noise("corner od", 8, 2) * 1e200, ("overflow",), "squares beyond float64", 1e-5
    yield (
        "two-far-apart",
        np.array([[1e20], [-1e20]], dtype=np.float32).astype(float),
        ("overflow", "few"),
        "1e20 and -1e20",
        1e-5,
    )
    yield (
        "squares-underflow", single(noise("corner u", 8, 2) * 1e-25), ("subnormal",), "squares below float32, eps 0", 0.0,
    )  # fmt: skip


_ALONE = {"x": (1, 4), "scale": (4,), "shift": (4,), "mean": (4,), "variance": (4,)}


def _normalisation(operation: str) -> Iterator[Case]:
    for name, x, flags, note, eps in _batches():
        c = x.shape[-1]
        channels = [half(noise(f"{name} {part}", c, bits=11)) for part in ("scale", "shift")]
        if operation == "batch_norm_inference":
            if "overflow" in flags or "subnormal" in flags:
                continue
            channels += [single(x.mean(0)), half(noise(name + " variance", c, bits=8) + 1.25)]
        dy = cotangent(name, x.shape, x)
        yield Case(operation, name, (x, *channels), dy, {"eps": eps}, flags, note, own=eps == 0)
    yield from _narrow(operation)
    if operation == "batch_norm_inference":
        yield from _small_scale(operation)
        x, *channels = (noise(f"alone {part}", *shape, bits=11) for part, shape in _ALONE.items())
        channels[3] += 1.25
        dy = cotangent("alone", x.shape, x)
        note = "one value a channel"
        yield Case(operation, "one-value", (x, *channels), dy, {}, ("one",), note, stored=False)


def _narrow(operation: str) -> Iterator[Case]:
    """eps as large as the variance, and eps = 0, which others may refuse. Not in the reference vectors."""
    yield from (_beside(operation, eps, eps or 2.0**-20) for eps in (0.0, 2.0**-40, 2.0**-27, 2.0**-17, 2.0**-10))
    given = operation.endswith("inference")  # the derivative of a given variance by autodiff has a factor sigma^-3
    for power in (-88, -690):  # float32, float64 does not hold sigma^-3
        case, note = _beside(operation, 0.0, 2.0**power), f"variances near 2^{power}, eps 0"
        yield replace(case, name=f"corner-variance-2^{power}", flags=("magnitude",), note=note, own=given)


def _beside(operation: str, eps: float, variance: float) -> Case:
    """A batch whose variances are near this one, with this eps. Not in the reference vectors."""
    block, size = operation.startswith("conv"), np.sqrt(variance)
    x = noise(f"narrow {eps}", *((2, 4, 4, 2) if block else (9, 3))) * 2.0 ** np.round(np.log2(size))
    kernel = [noise("narrow kernel", 3, 3, 2, 3)] if block else []
    channels = [half(noise(f"narrow {eps} {part}", 3, bits=11) + 1.25) for part in ("scale", "shift")]
    if operation.endswith("inference"):
        channels += [np.zeros(3), (noise("narrow variance", 3, bits=8) + 1.25) * variance]
    dy = cotangent(f"narrow {eps}", (2, 2, 2, 3) if block else (9, 3), x)
    return Case(
        operation, f"corner-eps-beside-{eps:g}", (x, *kernel, *channels), dy, {"eps": eps}, ("corner",),
        f"eps {eps:g} beside a variance near it" if eps else "eps 0", stored=False,
    )  # fmt: skip


def _small_scale(operation: str) -> Iterator[Case]:
    """A subnormal scale, which a later factor makes large again."""
    x = noise("corner s", 3, 2)
    arguments = (x, single(np.array([1e-40, -1e-39])), np.zeros(2), np.zeros(2), np.array([2.0**-30, 2.0**-20]))
    dy = noise("dy corner s", 3, 2, bits=11) * 2.0**10
    yield Case(
        operation,
        "scale-subnormal",
        arguments,
        dy,
        {"eps": 0.0},
        ("subnormal",),
        "a subnormal scale over a small sigma",
    )


def _blocks(operation: str) -> Iterator[Case]:
    x, w = noise("corner k", 2, 4, 4, 2), noise("corner kw", 3, 3, 2, 3)
    shifts = noise("corner kt", 3, bits=11)
    for name, eps in (("zero", 0.0), ("thousandth", 1e-3), ("half", 0.5), ("ten", 10.0)):
        arguments = [x, w, noise("corner ks", 3, bits=11) + 1.5, shifts]
        if operation == "conv_block_inference":
            arguments += [noise("corner km", 3, bits=8), noise("corner kv", 3, bits=8) + 1.5]
        dy = cotangent("corner k" + name, (2, 2, 2, 3), x, w)
        yield Case(
            operation, f"corner-eps-{name}", tuple(arguments), dy, {"eps": eps}, ("corner",), f"eps {eps:g}", eps == 0
        )
    if operation == "conv_block_inference":
        arguments[5] = np.full(3, 2.0**-14)
        yield Case(
            operation, "corner-eps-small", tuple(arguments), dy, {"eps": 1e-5}, ("corner",),
            "eps 1e-5 beside a variance of 6e-5", stored=False,
        )  # fmt: skip
    yield from _narrow(operation)


def _cross_entropy(operation: str) -> Iterator[Case]:
    z = single(np.array([[0.0, -87.5, -87.9, -40.0], [-87.9, 0.0, -60.0, -88.5]]))
    for dy in (2.0**20, 2.0**-20, -3.0):
        yield Case(
            operation, f"corner-cotangent-{dy:g}", (z, np.array([0, 1])), np.asarray(dy), {}, ("saturated", "subnormal"),
            f"probabilities at the end of float32's range, dy = {dy:g}",
        )  # fmt: skip

    yield from _logits(operation)


def _logits(operation: str) -> Iterator[Case]:
    """Whole blocks of classes that are -inf, and one row whose label leads by more and more. Not in the vectors."""
    masked = [noise(f"masked {n}", n, m) for n, m in ((3, 300), (1, 5000))]
    for z, only in zip(masked, ((299, 141, 0), (4999,)), strict=True):
        z[0, : only[0]] = -INF
    masked[0][1, :141] = masked[0][2, 1:] = -INF
    rows: list[tuple[str, Any, tuple[str, ...], str]] = [
        (f"masked-{z.shape[1]}", z, ("infinite-logit", "wide"), "whole blocks of classes are -inf") for z in masked
    ]
    for gap in (3, 6, 9, 11, 13, 15, 18, 22, 30, 40, 70):
        z = np.array([[0.0, -gap, -gap - 1.5]])
        rows.append((f"lead-{gap}", z, ("saturated",), f"one row, whose label leads by {gap}"))
    for name, z, flags, note in rows:
        label = np.array([int(np.argmax(row)) for row in z])
        arguments, dy = (
            ((z, label), np.asarray(1.0)) if operation == "cross_entropy" else ((z,), cotangent(name, z.shape))
        )
        yield Case(operation, name, arguments, dy, {}, flags, note, stored=False)


def _losses(operation: str) -> Iterator[Case]:
    s, q = noise("corner s", 6, 4), noise("corner q", 5, 4)
    metrics: dict[str, Metric] = {
        "threshold-inf": LeakySquaredEuclidean(INF, 0.125),
        "threshold-inf-per-coordinate": LeakySquaredEuclidean(INF, 0.125, "coordinate"),
        "threshold-zero-per-coordinate": LeakySquaredEuclidean(0.0, 0.25, "coordinate"),
        "slope-one": LeakySquaredEuclidean(0.5, 1.0),
        "slope-tiny": LeakySquaredEuclidean(0.5, 2.0**-20),
        "threshold-large": LeakySquaredEuclidean(4.0, 0.5),
        "squared": SquaredEuclidean(),
        "euclidean": Euclidean(),
    }
    tenths: dict[str, Metric] = {  # numbers that no dtype holds; not in the reference vectors
        "leaky-tenths-per-coordinate": LeakySquaredEuclidean(0.3, 0.1, "coordinate"),
        "log-tenths": RestrictedSquaredEuclidean(Log(0.3)),
        "root-tenths-per-coordinate": RestrictedSquaredEuclidean(Root(0.3), "coordinate"),
    }
    for name, metric in (metrics | tenths).items():
        arguments = (s, cyclic(6, 3), q, cyclic(5, 3))
        yield Case(
            operation, f"corner-{name}", arguments, np.asarray(-2.5), {"distance": metric}, ("corner",), str(metric),
            stored=name in metrics,
        )  # fmt: skip


_LEAKS: dict[str, Restriction] = {
    "leak-threshold-inf": Leak(INF, 0.125),
    "leak-threshold-three": Leak(3.0, 0.25),
    "leak-slope-one": Leak(0.5, 1.0),
    "leak-slope-tiny": Leak(0.5, 2.0**-20),
}


def _queries(operation: str) -> Iterator[Case]:
    """The loss of many classes with every corner of a leak and of a restriction. Not in the reference vectors."""
    c = noise("corner qc", 3, 5)
    away = np.array([[0.25], [0.5], [0.75], [1.0]])  # from a prototype: distances from 0.1 to 8
    x = single(c[[0, 1, 2, 0]] + noise("corner qx", 4, 5) * away)
    for per in PERS:
        leaks = {name: LeakySquaredEuclidean(t, s, per) for name, (t, s) in (LEAKS | LEAKS_TOGETHER).items()}
        restricted = {name: RestrictedSquaredEuclidean(r, per) for name, r in (corner_restrictions() | _LEAKS).items()}
        for name, metric in (leaks | restricted).items():
            yield Case(
                operation, f"corner-{name}-per-{per}", (x, c, cyclic(4, 3)), np.asarray(-2.5), {"distance": metric},
                ("corner",), str(metric), stored=False,
            )  # fmt: skip
    yield from _far_queries(operation)


def _far_queries(operation: str) -> Iterator[Case]:
    """Points far from the origin, or all but the first query far from that, where |x|^2 - 2 x.c + |c|^2 cancels."""
    for name, bits, origin in (("", 24, 1e3), ("-double", 53, 1e7)):
        x, c = (origin + noise(f"far q{a}{name}", n, 20, bits=bits) for a, n in (("x", 27), ("c", 3)))
        if bits == 24:
            x, c = single(x), single(c)
        yield Case(
            operation, f"far-wide{name}", (x, c, cyclic(27, 3)), np.asarray(1.0), {"distance": SquaredEuclidean()},
            ("far", "wide"), f"27 queries, D = 20, {origin:g} from the origin", stored=False,
        )  # fmt: skip
        x, c = x[:5] - origin, c - origin
        x[0] += origin
        labels = np.array([((x[0] - c) ** 2).sum(axis=1).argmin(), 0, 1, 2, 0])
        yield Case(
            operation, f"far-first{name}", (x, c, labels), np.asarray(1.0), {"distance": SquaredEuclidean()},
            ("far",), f"the first query {origin:g} away, at its nearest prototype's label", stored=False,
        )  # fmt: skip


_FAMILIES: Mapping[str, Callable[[str], Iterator[Case]]] = {
    "squared_euclidean": _distance,
    "euclidean": _distance,
    "cosine_distance": _distance,
    "leaky_squared_euclidean": _leaky,
    "log_softmax": _logits,
    "cross_entropy": _cross_entropy,
    "prototypical_loss": _losses,
    "distance_cross_entropy": _queries,
    "batch_norm": _normalisation,
    "batch_norm_inference": _normalisation,
    "conv_block": _blocks,
    "conv_block_inference": _blocks,
}
