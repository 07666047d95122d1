"""Rare data in arrays of ordinary size, as code for large arrays meets them; numbers of a few kinds, such as bits.

What a shortcut does for many numbers alone shows only there. Not in the reference vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from leakysm.ops.metrics import RestrictedSquaredEuclidean
from leakysm.ops.restriction import Leak, Root
from leakysm.verify.case import DTYPES, Case
from leakysm.verify.cases.contrasts import OF_PAIRS, changed
from leakysm.verify.cases.equal import plain_case
from leakysm.verify.cases.numbers import Floats, noise, single, whole
from leakysm.verify.cases.rare import coincident, queries
from leakysm.verify.cases.size_tables import edges
from leakysm.verify.sample import ChannelSample, PairSample

_LOSSES = ("distance_cross_entropy", "prototypical_loss")
_WHOLE = (Root(2.0), Root(3.0), Root(5.0), Leak(3.0, 0.5))  # whole thresholds, which are no squares
_FEW = np.array([0, 1, 31, 32, 62, 63])
# Codes and counts: their lowest and highest number, and how many of them a point has.
_KINDS = {"bits": (0, 1, 784), "codes": (-1, 1, 300), "counts": (0, 50, 128), "bytes": (0, 255, 90)}


def of(operation: str, cases: Sequence[Case]) -> Iterator[Case]:
    """The cases of an operation, as changes of its first plain case."""
    plain = plain_case(cases)
    if operation in OF_PAIRS:
        yield from _points(plain)
    elif operation in _LOSSES:
        yield from _losses(plain)
    elif operation in ("log_softmax", "cross_entropy"):
        yield from _rows(plain)
    elif operation == "prototypes":
        yield from _shots(plain)
    elif operation in ("relu", "max_pool2d"):
        yield from _values(plain)
    elif operation.startswith("batch_norm"):
        yield from _channels(plain)
    for name in sorted({"threshold", "slope", "eps"} & {*plain.parameters}):
        yield from _as_integers(plain, name)


def _points(plain: Case) -> Iterator[Case]:
    """Points near each other, among many; a cotangent that is constant, or adds up to 0."""
    name = plain.operation
    x = noise(f"crowd {name} x", 64, 64, bits=11)
    c = x[::-1] + noise(f"crowd {name} c", 64, 64, bits=11) * 2.0**-10
    near = _other(plain, "crowd-near", x, c, "64 points, each near another", ("far",))
    yield replace(near, sample=PairSample(_FEW, _FEW))
    yield _many_points(plain)
    yield from _nearly_the_same(plain)
    sparse = np.where(noise(f"sparse {name}", 48) < -0.92, noise(f"sparse x {name}", 48, bits=11), 0.0)
    x, c = (noise(f"sparse {a} {name}", n, 48, bits=11) * 2.0**-10 for a, n in (("x", 3), ("c", 4)))
    x, c = (sparse + np.where(sparse == 0, 0.0, a) for a in (x, c))
    yield _other(plain, "crowd-sparse", x, c, "points near each other, nine of ten coordinates 0", ("far",))
    x, c = noise(f"outlier x {name}", 5, 3, bits=11), noise(f"outlier c {name}", 4, 3, bits=11)
    x[0] *= 2.0**20
    yield _other(plain, "crowd-outlier", x, c, "the first query is far from all others", ("contrast",))
    x, c = (single(1000 + noise(f"constant {a} {name}", n, 6)) for a, n in (("x", 4), ("c", 3)))
    far = _other(plain, "crowd-constant-dy", x, c, "far points, dy constant", ("far",))
    yield replace(far, dy=np.full((4, 3), 0.75))
    rows = np.repeat(np.array([[1.0], [-1.0], [0.0]]), 4, 1)
    yield changed(plain, "crowd-opposite-dy", {-1: rows}, "rows of dy of 1, -1 and 0", ("corner",))
    yield from _numbers(plain)


def _many_points(plain: Case) -> Case:
    """More than 2^24 differences, which do not all fit into some memory: another formula may serve there."""
    name, few = plain.operation, np.array([0, 1, 150, 399])
    x = noise(f"crowd many {name} x", 400, 64, bits=53)
    c = np.concatenate([x[::-1], x[:270]]) + noise(f"crowd many {name} c", 670, 64, bits=53) * 2.0**-20
    many = _other(plain, "crowd-near-many", x, c, "400 and 670 points near each other", ("far", "size"))
    return replace(many, sample=PairSample(few, few))


def _nearly_the_same(plain: Case) -> Iterator[Case]:
    """Two queries that only float64 tells apart; prototypes that are the queries, but for one."""
    name = plain.operation
    x, c = (noise(f"crowd rows {a} {name}", n, 3, bits=53) for a, n in (("x", 600), ("c", 2)))
    x[7] = x[3] * (1 + 2.0**-34)
    rows = _other(plain, "crowd-near-rows", x, c, "two of 600 queries are nearly the same, a row of dy tiny", ("size",))
    rows.dy[3] *= 2.0**-70
    yield replace(rows, sample=PairSample(np.array([0, 3, 7, 599]), np.arange(2)))
    x = noise(f"crowd same {name}", 100, 3)
    c = np.array(x)
    c[1] = x[1] + 0.25
    flags = tuple(sorted({*coincident(plain), "size"}))
    same = _other(plain, "crowd-same-but-one", x, c, "100 prototypes are the queries, but for one", flags)
    few = np.array([0, 1, 2, 50, 98, 99])
    yield replace(same, sample=PairSample(few, few))


def _numbers(plain: Case) -> Iterator[Case]:
    """Numbers of a few kinds; the first of c is as far from the first of x as it can be. Whole thresholds."""
    name = plain.operation
    yield _other(plain, "crowd-identity", noise(f"identity {name}", 3, 4), np.eye(4), "c is the identity", ("pattern",))
    for kind, (low, high, width) in _KINDS.items():
        x, c = (whole(f"{kind} {a} {name}", n, width, low=low, high=high) for a, n in (("x", 3), ("c", 2)))
        if kind == "codes":
            x, c = np.where(x == 0, 1.0, x), np.where(c == 0, -1.0, c)
        if kind != "counts":
            c[0] = low + high - x[0]
        yield _other(plain, f"crowd-{kind}", x, c, f"{width} whole numbers from {low} to {high}", ("contrast",))
    for bits, step in ((16, 1), (23, 1), (31, 2**8), (62, 2**39)):  # squares of which do not fit an integer
        x, c = (
            step * whole(f"{bits} {a} {name}", n, 4, low=-(2**bits) // step, high=2**bits // step)
            for a, n in (("x", 3), ("c", 2))
        )
        c[0] = -x[0]
        yield _other(plain, f"crowd-whole-{bits}", x, c, f"whole numbers to 2^{bits}", ("contrast",))
    x, c = (abs(noise(f"pixels {a} {name}", n, 90, bits=8)) for a, n in (("x", 3), ("c", 2)))
    for a in (x, c):
        a[0, :2] = 0, 1
    yield _other(plain, "crowd-pixels", x, c, "numbers from 0 to 1, with both ends", ("contrast",))
    if "restriction" not in plain.parameters:
        return
    x, c = (noise(f"crowd tiny {a}", n, 3) * 2.0**-25 for a, n in (("x", 3), ("c", 4)))
    tiny = changed(plain, "crowd-tiny-root", {0: x, 1: c}, "distances and a threshold near 2^-50", ("magnitude",))
    yield replace(tiny, parameters={**plain.parameters, "restriction": Root(2.0**-52)})
    for restriction in _WHOLE:
        case = changed(plain, f"crowd-{restriction}", {}, f"restriction {restriction}", ("corner",))
        yield replace(case, parameters={**plain.parameters, "restriction": restriction})


def _other(plain: Case, name: str, x: Floats, c: Floats, note: str, flags: tuple[str, ...]) -> Case:
    dy = noise(f"{name} dy {plain.operation}", len(x), len(c))
    return replace(changed(plain, name, {0: x, 1: c, -1: dy}, note, flags), one_way=DTYPES)


def _losses(plain: Case) -> Iterator[Case]:
    """40 queries that are right with near certainty; a class far from every query; classes of other numbers of shots."""
    c = 16 * noise("crowd classes", 32, 4, bits=11)
    labels = np.arange(40) * 7 % 32
    x = single(c[labels] + noise("crowd queries", 40, 4, bits=11) / 4)
    values = queries(plain, x, c, labels)
    saturated = changed(plain, "crowd-saturated", values, "40 queries near their prototypes", ("saturated",))
    yield replace(saturated, one_way=DTYPES)
    c = np.array([[0.0, 0.5], [1.0, 0.0], [16.25, 0.5]])
    mostly = queries(plain, noise("mostly x", 600, 2), noise("mostly c", 3, 2), np.arange(600) % 150 // 149)
    yield changed(plain, "crowd-mostly-one-label", mostly, "nearly all of 600 labels are 0", ("size",))
    values = queries(plain, noise("crowd far", 4, 2, bits=11) / 2, c, np.array([0, 1, 0, 1]))
    yield changed(plain, "crowd-far-class", values, "a class of probability e^-250 for every query", ("saturated",))
    for restriction in _WHOLE:
        metric = RestrictedSquaredEuclidean(restriction)
        case = changed(plain, f"crowd-{restriction}", {}, str(metric), ("corner",))
        yield replace(case, parameters={"distance": metric})
    if plain.operation == "prototypical_loss":
        for name, shots in _ORDERS.items():
            z = noise(f"crowd loss {name}", len(shots), 3, bits=11)
            values = {
                0: z,
                1: shots,
                2: noise("crowd loss queries", 5, 3, bits=11),
                3: np.arange(5) % (shots.max() + 1),
            }
            yield changed(plain, f"crowd-{name}", values, f"support labels {name}", ("unbalanced",))


# Labels of a support set.
_ORDERS = {
    "sorted-unequal": np.array([0, 0, 0, 1, 2, 2, 2, 2, 3]),
    "descending": np.array([3, 3, 2, 2, 1, 1, 0, 0]),
    "ends-in-order": np.array([0, 2, 1, 3]),
    "balanced-begins-grouped": np.array([0, 0, 1, 2, 1, 2]),
    "balanced-begins-in-order": np.array([0, 1, 2, 1, 0, 2]),
    "first-as-the-mean": np.array([0, 0, 1, 2, 2, 2]),
    "nearly-balanced": np.array([0, 1] * 8 + [1]),
    "sorted-one-apart": np.array([0, 0, 0, 1, 2, 2, 3, 3]),
    "interleaved-unequal": np.arange(80) % 16 * (np.arange(80) % 5 > 0),
}


def _shots(plain: Case) -> Iterator[Case]:
    for name, labels in _ORDERS.items():
        classes = int(labels.max()) + 1
        values = {
            0: noise(f"crowd z {name}", len(labels), 3),
            1: labels,
            2: classes,
            -1: noise(f"crowd dz {name}", classes, 3),
        }
        yield changed(plain, f"crowd-{name}", values, f"labels {name}", ("unbalanced",))
    values = {0: noise("crowd many shots", 66_000, 1), 1: np.zeros(66_000, int), 2: 1, -1: np.array([[-1.5]])}
    yield changed(plain, "crowd-many-shots", values, "66,000 examples of a class", ("size",))


def _rows(plain: Case) -> Iterator[Case]:
    """64 rows of 64 logits: each nearly certain of a class; with classes of probability 0."""
    sure = noise("crowd sure", 64, 64, bits=11) * 4
    labels = np.arange(64) * 5 % 64
    sure[np.arange(64), labels] += 50
    masked = np.where(noise("crowd masked", 64, 64) < 0, -np.inf, noise("crowd logits", 64, 64, bits=11) * 4)
    masked[np.arange(64), labels] = 1.0
    for name, logits, flags in (("sure", sure, ("saturated",)), ("masked", masked, ("infinite-logit",))):
        second = {1: labels} if plain.operation == "cross_entropy" else {-1: noise(f"crowd dy {name}", 64, 64)}
        if -1 in second:
            second[-1][5] *= 2.0**-70
        yield changed(plain, f"crowd-{name}", {0: logits, **second}, f"64 rows of 64 logits, {name}", flags)
    yield from _rows_of_few_classes(plain)
    alone = {0: np.array([[np.inf], [0.5], [-np.inf]])}
    alone |= {1: np.zeros(3, int)} if plain.operation == "cross_entropy" else {-1: noise("crowd alone", 3, 1)}
    yield changed(plain, "crowd-one-class", alone, "one class, with infinite logits", ("undefined",))
    side = noise("crowd square", 5, 5, bits=11)
    symmetric = {0: side + side.T} | ({1: np.array([1, 0, 3, 4, 2])} if plain.operation == "cross_entropy" else {})
    if plain.operation == "log_softmax":
        symmetric[-1] = noise("crowd symmetric dy", 5, 5)
        dy = np.repeat(np.array([[1.0], [-1.0], [0.5], [-0.5]]), 5, 1)
        yield changed(plain, "crowd-opposite-dy", {-1: dy}, "rows of dy of opposite signs", ("corner",))
    yield changed(plain, "crowd-symmetric", symmetric, "the logits are a symmetric matrix", ("pattern",))


def _rows_of_few_classes(plain: Case) -> Iterator[Case]:
    """Logits of -inf, but at no edge; rows nearly the same; nearly all rows with one label; a maximum in the middle."""
    inside = noise("crowd later", 4, 5, bits=11)
    inside[1, 3] = inside[2, 1] = inside[2, 3] = -np.inf
    near = noise("crowd near logits", 600, 3, bits=53)
    near[7] = near[3] * (1 + 2.0**-34)
    inner = noise("crowd inner", 2, 600, bits=11)
    inner[0, 101] = inner[1, 333] = 1000
    mostly = noise("crowd mostly", 600, 3, bits=11)
    for name, logits, labels, note, flags in (
        ("masked-inside", inside, [0, 1, 2, 3], "logits of -inf, none in an outer row or column", ("infinite-logit",)),
        ("near-rows", near, np.arange(600) * 7 % 3, "two of 600 rows are nearly the same", ("size",)),
        ("inner-largest", inner, [101, 5], "the largest of 600 logits is in the middle", ("saturated", "size")),
        ("mostly-one-label", mostly, [0] * 7 + [1, 2, 1] + [0] * 590, "nearly all 600 labels are 0", ("size",)),
    ):
        if plain.operation == "cross_entropy":
            yield changed(plain, f"crowd-{name}", {0: logits, 1: np.array(labels)}, note, flags)
        elif name != "mostly-one-label":
            yield changed(plain, f"crowd-{name}", {0: logits, -1: noise(f"dy {name}", *logits.shape)}, note, flags)


def _values(plain: Case) -> Iterator[Case]:
    if plain.operation == "relu":
        values = {0: np.array([-np.inf, np.inf, -0.5, 0.5]), -1: noise("crowd infinite dy", 4)}
        yield replace(changed(plain, "crowd-infinite", values, "-inf and inf", ("overflow",)), own=True)
        n = (1 << 18) + 5
        values = {0: noise("crowd relu", n), -1: noise("crowd relu dy", n)}
        some = np.unique([*edges(n), *range(1 << 18, n), *(2**k + i for k in range(11, 18) for i in (-1, 0, 1))])
        long = changed(plain, "crowd-long", values, f"{n} numbers", ("size",))
        yield replace(long, sample=ChannelSample(some))
        values = {0: np.array([-1.5, -0.25, 0.0, 0.0, 0.5, 2.0]), -1: noise("crowd sorted dy", 6)}
        yield changed(plain, "crowd-sorted", values, "sorted numbers", ("ties",))
        return
    for shape in ((1, 20, 24, 2), (2, 16, 18, 8)):
        small = whole(f"crowd ties {shape}", *shape, low=0, high=2)
        small[..., -1] = small[..., 0]
        small[0, :2, :2] = -np.inf
        half = (shape[0], shape[1] // 2, shape[2] // 2, shape[3])
        values = {0: small, -1: noise(f"crowd ties dy {shape}", *half)}
        yield changed(
            plain, f"crowd-ties-{shape[-1]}", values, "many equal values, the first and last channel alike", ("ties",)
        )


def _channels(plain: Case) -> Iterator[Case]:
    """Many values with a large mean; bytes; times in seconds; a variance a little below 0."""
    names = [a.name for a in plain.definition.arguments]
    dy = noise("crowd bn dy", 1000, 2)
    if plain.operation == "batch_norm":
        for name, x, flag in (
            ("large-mean", single(1024 + noise("crowd bn", 1000, 2)), "large-mean"),
            ("bytes", whole("crowd bytes", 1000, 2, low=253, high=255), "large-mean"),
            ("times", np.round(1.7e9 + 3 * noise("crowd times", 1000, 2, bits=53), 6), "large-mean"),
        ):
            yield changed(plain, f"crowd-{name}", {0: x, -1: dy}, f"1,000 values a channel: {name}", (flag,))
        x = noise("crowd three axes", 2, 3, 3)
        values = {
            0: x,
            1: np.array([1.0, -0.5, 2.0]),
            2: np.array([0.0, 0.5, -1.0]),
            -1: noise("crowd three dy", 2, 3, 3),
        }
        yield changed(plain, "crowd-three-axes", values, "three axes, two of one length", ("plain",))
    else:
        below = {names.index("variance"): np.array([-(2.0**-19), 2.0**-12])}
        yield changed(plain, "crowd-negative-variance", below, "a variance below 0, above -eps", ("corner",))


def _as_integers(plain: Case, name: str) -> Iterator[Case]:
    """A parameter as a Python int, as users write it."""
    for number in (1, 3) if name == "threshold" else (1,):
        case = changed(plain, f"crowd-{name}-{number}", {}, f"{name} is the int {number}", ("corner",))
        yield replace(case, parameters={**plain.parameters, name: number})
