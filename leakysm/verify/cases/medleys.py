"""Hard data among many: arrays as large as those for which code of its own may be used, with hard rows of every kind.

A shortcut for large arrays alone loses digits only there, and only for data that are hard. Not in the reference vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from leakysm.verify.case import DTYPES, Case
from leakysm.verify.cases.contrasts import OF_PAIRS, changed
from leakysm.verify.cases.episode import METRICS
from leakysm.verify.cases.equal import plain_case
from leakysm.verify.cases.numbers import Floats, noise, single
from leakysm.verify.cases.rare import queries
from leakysm.verify.sample import ChannelSample, PairSample

# Groups of points: where they lie in every coordinate, and how far apart they are.
_GROUPS = ((0.0, 3.0), (2.0**12, 2.0**-6), (0.0, 2.0**-50), (0.0, 2.0**40), (-(2.0**9), 2.0**-8), (2.0**-30, 2.0**-40))
_POINTS = {"wide": (66, 70, 130), "long": (300, 260, 5)}  # queries, prototypes, width
# Levels of rows of logits, and the step between their logits, which float32 holds beside the level.
_LEVELS = ((0.0, 0.0625), (-(2.0**15), 0.0625), (-(2.0**20), 0.25), (-(2.0**34), 0.0), (2.0**34, 0.0))


def of(operation: str, cases: Sequence[Case]) -> Iterator[Case]:
    """The cases of an operation, as changes of its first plain case."""
    plain = plain_case(cases)
    if operation in OF_PAIRS:
        yield from _points(plain)
        yield from _one_number_of_many(plain)
        if operation == "cosine_distance":
            yield _zero_vectors(plain)
    elif operation in ("log_softmax", "cross_entropy"):
        yield from _rows(plain)
    elif operation in ("distance_cross_entropy", "prototypical_loss"):
        yield from _far_classes(plain)
        yield from _every_metric(plain)
    elif operation == "prototypes":
        yield _examples(plain)
    elif operation == "conv2d":
        yield from _images(plain)
    elif operation == "max_pool2d":
        yield _ties(plain)
    elif operation == "batch_norm":
        yield from _channels(plain)


def _points(plain: Case) -> Iterator[Case]:
    """Groups of near points, which are tiny, huge or far from the origin. dy is 0 between different groups."""
    for kind, (n, m, width) in _POINTS.items():
        name, groups = f"medley {plain.operation} {kind}", len(_GROUPS)
        x, c = (_grouped(f"{name} {a}", rows, width) for a, rows in (("x", n), ("c", m)))
        alike = np.arange(n)[:, None] % groups == np.arange(m)[None, :] % groups
        dy = np.where(alike, noise(f"{name} dy", n, m), 0.0)
        note = f"{n} and {m} points of width {width}, in groups: tiny, huge, near each other far from the origin"
        case = changed(plain, f"medley-{kind}", {0: x, 1: c, -1: dy}, note, ("contrast", "size"))
        few = np.arange(groups)
        sample = PairSample(np.append(few, n - 1), np.append(few, m - 1))
        # The squares of these numbers are exact in float64, and the roundings of their sums go one way.
        yield replace(case, sample=sample, one_way=("float64",) if width > 16 else ())


def _zero_vectors(plain: Case) -> Case:
    x, c = (noise(f"medley zero {a}", n, 2) for a, n in (("x", 70), ("c", 66)))
    x[[0, 9]] = c[65] = 0.0
    values = {0: x, 1: c, -1: noise("medley zero dy", 70, 66)}
    case = changed(plain, "medley-zero", values, "zero vectors among many", ("zero-vector", "size"))
    return replace(case, sample=PairSample(np.array([0, 1, 9, 69]), np.array([0, 1, 64, 65])))


def _one_number_of_many(plain: Case) -> Iterator[Case]:
    """66,000 numbers, of which one is another in the second case: a result that is kept by some of them is wrong."""
    name = f"medley {plain.operation} many"
    x, c = noise(f"{name} x", 1, 100), noise(f"{name} c", 660, 100)
    other = np.array(c)
    other[431, 37] += 1.25
    few = PairSample(np.arange(1), np.array([0, 430, 431, 659]))
    for number, second in enumerate((c, other)):
        values = {0: x, 1: second, -1: noise(f"{name} dy", 1, 660)}
        case = changed(
            plain, f"medley-many-{number}", values, "66,000 numbers, one of them changed", ("one-number", "size")
        )
        yield replace(case, sample=few, one_way=("float64",))


def _grouped(name: str, rows: int, width: int) -> Floats:
    centre, spread = np.array(_GROUPS)[np.arange(rows) % len(_GROUPS)].T[:, :, None]
    return single(centre + spread * noise(name, rows, width))


def _rows(plain: Case) -> Iterator[Case]:
    """Many classes, or many rows: at far levels, and nearly sure of a class."""
    for n, m in ((len(_LEVELS), 10_081), (5041, 2)):
        name = f"medley logits {n} {m}"
        level, step = np.array(_LEVELS)[np.arange(n) % len(_LEVELS)].T[:, :, None]
        yield _logits(plain, f"medley-levels-{n}", level + step * np.floor(32 * noise(name, n, m)), "at far levels")
        sure = np.floor(32 * noise(f"{name} sure", n, m)) / 16
        sure[np.arange(n), np.arange(n) * 7 % m] += 40
        yield _logits(plain, f"medley-sure-{n}", sure, "nearly sure of a class")


def _logits(plain: Case, name: str, logits: Floats, what: str) -> Case:
    n, m = logits.shape
    labelled = plain.operation == "cross_entropy"
    second: Mapping[int, Any] = {1: np.arange(n) * 7 % m} if labelled else {-1: noise(f"{name} dy", n, m, bits=11)}
    case = changed(plain, name, {0: logits, **second}, f"{n} rows of {m} logits, {what}", ("saturated", "size"))
    return replace(case, one_way=DTYPES)


def _far_classes(plain: Case) -> Iterator[Case]:
    """Many classes, all of them far from all queries; classes in groups that are far from each other."""
    for m in (9001, 130) if plain.operation == "distance_cross_entropy" else (130,):
        x, c = (noise(f"medley far {a} {m}", n, 1, bits=8) for a, n in (("x", 3), ("c", m)))
        values = queries(plain, x, c + 2.0**11, np.array([m - 1, 0, m // 2]))
        yield changed(plain, f"medley-far-{m}", values, f"{m} classes, far from all queries", ("far", "size"))
    c = noise("medley classes", 130, 2, bits=8) + np.arange(130)[:, None] % 3 * 2.0**8
    labels = np.arange(70) * 11 % 130
    values = queries(plain, c[labels] + noise("medley queries", 70, 2, bits=8), c, labels)
    yield changed(plain, "medley-groups", values, "130 classes in three groups, far from each other", ("far", "size"))


def _every_metric(plain: Case) -> Iterator[Case]:
    """66 classes of width 17, which some forms of one metric alone are for."""
    for name, metric in METRICS.items():
        x, c = (noise(f"medley {name} {a}", n, 17) for a, n in (("x", 9), ("c", 66)))
        values = queries(plain, x, c + 0.5, np.arange(9) * 8)
        case = changed(plain, f"medley-{name}", values, f"66 classes, {metric}", ("size",))
        yield replace(case, parameters={"distance": metric}, one_way=("float64",))


def _examples(plain: Case) -> Case:
    """Classes of very different size."""
    labels = np.arange(300) * 7 % 130
    z = noise("medley examples", 300, 3) * 2.0 ** np.array([0, 60, -60, 20, -20])[labels % 5, None]
    values = {0: z, 1: labels, 2: 130, -1: noise("medley dprototypes", 130, 3)}
    return changed(plain, "medley", values, "130 classes of very different size", ("contrast", "size"))


def _images(plain: Case) -> Iterator[Case]:
    """One pixel, and one of dy, is very large: what is far from it has its own small error."""
    for shape, filters in (((1, 20, 22, 1), 1), ((1, 9, 66, 2), 3), ((2, 17, 18, 3), 2)):
        name = "x".join(map(str, (*shape, filters)))
        x, w = noise(f"medley image {name}", *shape), noise(f"medley kernel {name}", 3, 3, shape[-1], filters)
        dy = noise(f"medley dy {name}", *shape[:-1], filters)
        x[0, 1, 2, 0] *= 2.0**50
        dy[0, -2, -3, 0] *= 2.0**50
        values = {0: x, 1: w, -1: dy}
        yield changed(plain, f"medley-{name}", values, "one pixel is huge, and one of dy", ("contrast", "size"))


def _ties(plain: Case) -> Case:
    """More than 1,024 pixels, many of which are equal."""
    x = np.floor(noise("medley ties", 1, 34, 36, 3) * 2)
    values = {0: x, -1: noise("medley dy ties", 1, 17, 18, 3)}
    return changed(plain, "medley-ties", values, "an image of 34x36 with many equal values", ("ties", "size"))


def _channels(plain: Case) -> Iterator[Case]:
    """Many values: the first is far from the others, or the mean is large; channels of different size."""
    mean = single(noise("medley bn mean", 5041, 1) + 2.0**13)
    first = noise("medley bn first", 5041, 1)
    first[0] = 10_000
    apart = noise("medley bn", 1030, 9) * 2.0 ** (np.arange(9) % 3 * 20 - 20)
    apart = single(apart + np.array([0, 2.0**8, 0] * 3))
    for name, x, note in (
        ("mean", mean, "5,041 values with a large mean"),
        ("first", first, "the first of 5,041 values is far from the others"),
        ("apart", apart, "channels of different size, some with a large mean"),
    ):
        few = {at: noise(f"medley {name} {at}", x.shape[1], bits=11) for at in (1, 2)}
        values = {0: x, **few, -1: noise(f"medley bn dy {name}", *x.shape)}
        case = changed(plain, f"medley-{name}", values, note, ("large-mean", "size"))
        yield replace(case, sample=ChannelSample(np.arange(3)) if x.shape[1] > 3 else None)
