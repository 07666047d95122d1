"""Data that a shortcut may take for something simpler: equal points, labels in order, numbers that are normalised already.

Each operation has its own. Not in the reference vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from leakysm.ops.restriction import Root
from leakysm.verify.case import Case
from leakysm.verify.cases.contrasts import OF_PAIRS, changed
from leakysm.verify.cases.equal import plain_case
from leakysm.verify.cases.numbers import noise, single

_LOSSES = ("cross_entropy", "distance_cross_entropy", "prototypical_loss")


def of(operation: str, cases: Sequence[Case]) -> Iterator[Case]:
    """The rare data of an operation, as changes of its first plain case."""
    plain = plain_case(cases)
    if operation in OF_PAIRS:
        yield from _sizes_in_one_row(plain)
        yield from _same_points(plain)
        x, c = (np.array(a) for a in plain.arguments[:2])
        x[0], c[0] = -0.0, 0.0
        yield changed(
            plain, "minus-zero", {0: x, 1: c}, "the first query is -0, the first prototype 0", coincident(plain)
        )
        x = np.array(plain.arguments[0])
        x[0] = plain.arguments[1][1]
        yield changed(plain, "one-same", {0: x}, "the first query lies on the second prototype", ("coincident",))
        yield _alike(plain)
        yield _same_columns(plain)
        yield from _unit(plain)
        sparse = np.zeros((16, 8))
        sparse[[3, 9], [5, 1]] = 0.75, -1.5
        values = {0: sparse, 1: noise("background c", 3, 8), -1: noise("background dy", 16, 3)}
        if operation != "cosine_distance":
            yield changed(plain, "background", values, "all but two of 128 numbers are 0", ("pattern",))
    if operation in ("distance_cross_entropy", "prototypical_loss"):
        x = noise(f"same {operation}", 4, 3)
        values = queries(plain, x, x, np.arange(4))
        yield changed(plain, "same-points", values, "the queries are the examples", ("coincident",))
    if operation in _LOSSES:
        yield from _labels(plain)
    if operation in ("log_softmax", "cross_entropy"):
        yield from _unlikely_logits(plain)
    elif operation in _LOSSES:
        yield from _unlikely_class(plain)
    if operation in (*_LOSSES, "log_softmax"):
        yield _last_nearest(plain)
    if operation in ("batch_norm", "batch_norm_inference"):
        yield from _axes(plain)
    if operation in ("conv_block", "conv_block_inference"):
        values = {2: np.full_like(plain.arguments[2], -0.0), 3: abs(plain.arguments[3]) + 0.5}
        yield changed(plain, "minus-zero-scale", values, "scale -0: the first position counts", ("zero-scale",))
    yield from _nearly(plain)
    yield from _initial(plain)
    if "per" in plain.parameters:
        parameters = {name: value for name, value in plain.parameters.items() if name != "per"}
        by_default = changed(plain, "per-by-default", {}, "per is not given", ("plain",))
        yield replace(by_default, parameters=parameters)
    rest = {
        "prototypes": _twice,
        "conv2d": _separable,
        "batch_norm": _channels,
        "relu": _no_axis,
        "max_pool2d": _nearly_tied,
    }
    if operation in rest:
        yield from rest[operation](plain)


def coincident(plain: Case) -> tuple[str, ...]:
    """The flags of a case with equal points. For the cosine such a case also counts as a convention, `zero-vector`."""
    return ("coincident", "zero-vector") if plain.operation == "cosine_distance" else ("coincident",)


def queries(plain: Case, x: Any, c: Any, labels: Any) -> dict[int, Any]:
    """The arguments of a loss of the distances from x to c, which are prototypes, or one example of each class."""
    if plain.operation == "distance_cross_entropy":
        return {0: x, 1: c, 2: labels}
    return {0: c, 1: np.arange(len(c)), 2: x, 3: labels}


def _same_points(plain: Case) -> Iterator[Case]:
    x = noise(f"same {plain.operation}", 4, 3)
    dy = noise(f"same dy {plain.operation}", 4, 4)
    yield changed(plain, "same-points", {0: x, 1: x, -1: dy}, "x and c are the same points", coincident(plain))
    x = noise(f"turned {plain.operation}", 4, 4)
    yield changed(plain, "turned", {0: x, 1: x.T, -1: dy}, "c is x with exchanged axes", ("plain",))


def _same_columns(plain: Case) -> Case:
    """Coordinates that all points have in common, the first and another: they are no padding, and no end of a point."""
    x, c = (noise(f"columns in common {plain.operation} {name}", n, 5) for name, n in (("x", 4), ("c", 3)))
    for a in (x, c):
        a[:, [0, 3]] = 0.0, -1.25
    values = {0: x, 1: c, -1: noise(f"columns in common dy {plain.operation}", 4, 3)}
    return changed(plain, "same-columns", values, "two coordinates are the same for all points", ("pattern",))


def _alike(plain: Case) -> Case:
    """Ends and sums of x and c are the same; who compares only these takes them for the same points."""
    x = noise(f"alike {plain.operation}", 6, 4)
    values = {0: x, 1: x[[0, 3, 1, 4, 2, 5]], -1: noise(f"alike dy {plain.operation}", 6, 6)}
    return changed(
        plain, "alike", values, "c has the rows of x in another order, the first and last alike", coincident(plain)
    )


def _unit(plain: Case) -> Iterator[Case]:
    """Norms of 1, and nearly 1; two points are near each other."""
    x, c = (noise(f"unit {name}", 3, 5) for name in "xc")
    c[1] = x[1] + 2.0**-12
    x, c = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, c))
    near, dy = np.array([1 + 2.0**-11, 1 - 2.0**-12, 1 + 2.0**-14])[:, None], noise("unit dy", 3, 3)
    for name, factor in (("unit", 1.0), ("nearly-unit", near)):
        values = {0: single(factor * x), 1: single(factor * c), -1: dy}
        yield changed(plain, name, values, f"norms of {'nearly ' if name == 'nearly-unit' else ''}1", ("plain",))
    for power in (-17, -20, -34, -45):
        factor = 1 + np.array([1, -0.5, 0.25])[:, None] * 2.0**power
        values = {0: factor * x, 1: factor * c, -1: dy}
        values = values if power < -24 else {at: single(a) for at, a in values.items()}
        yield changed(plain, f"unit-but-2^{power}", values, f"norms of 1, but for 2^{power}", ("plain",))


def _sizes_in_one_row(plain: Case) -> Iterator[Case]:
    """A small difference beside a large common coordinate; differences whose squares vanish, where factors do not."""
    if plain.operation == "cosine_distance":
        return
    size = 66 if plain.operation == "euclidean" else 55  # no square may vanish
    x, c = (noise(f"beside {plain.operation} {name}", n, 3) * 2.0**-size for name, n in (("x", 3), ("c", 2)))
    x[:, 0] = c[:, 0] = 2.0**size
    dy = noise(f"beside dy {plain.operation}", 3, 2)
    yield changed(plain, "beside-large", {0: x, 1: c, -1: dy}, "a large coordinate in common", ("contrast",))
    if plain.operation != "euclidean":
        x, c = (noise(f"tiny {plain.operation} {name}", n, 3) * 2.0**-85 for name, n in (("x", 3), ("c", 2)))
        tiny = changed(plain, "tiny", {0: x, 1: c, -1: dy}, "all squares are 0 in float32", ("subnormal",))
        yield tiny
        if "restriction" in plain.parameters:
            yield replace(tiny, name="tiny-root", parameters={**plain.parameters, "restriction": Root(1.0)})


def _labels(plain: Case) -> Iterator[Case]:
    """260 classes, with labels that bytes end at. Five rows of five classes: each its own class, or all the same one."""
    x, c = noise(f"high {plain.operation} x", 6, 2), noise(f"high {plain.operation} c", 260, 2)
    high = np.array([255, 256, 127, 128, 100, 0])
    logits = {0: noise("high logits", 6, 260), 1: high}
    values = logits if plain.operation == "cross_entropy" else queries(plain, x, c, high)
    yield changed(plain, "labels-high", values, f"labels {high.tolist()} of 260", ("size",))
    if plain.operation != "prototypical_loss":  # whose examples have all labels
        values |= {len(plain.arguments) - 1: high % 250}
        yield changed(plain, "labels-low", values, f"labels {(high % 250).tolist()} of 260", ("size",))
    x, c = (noise(f"labels {plain.operation} {at}", 5, 5) for at in range(2))
    for name, labels in (("in-order", np.arange(5)), ("equal", np.full(5, 3))):
        values = {0: x, 1: labels} if plain.operation == "cross_entropy" else queries(plain, x, c, labels)
        yield changed(plain, f"labels-{name}", values, f"labels {labels.tolist()}", ("plain",))


def _unlikely_logits(plain: Case) -> Iterator[Case]:
    """Rows whose other classes have small probabilities, which only float64 tells from 0; of a label, and of others.

    One logit far from the others, of which some formulas subtract that one, or the mean.
    """
    small = -300 * np.array([[0, 1, 2], [2, 1, 0]]) + noise("faint", 2, 3, bits=53)
    behind = np.array([[0.0, -gap] for gap in (9.3, 17.1, 21.7, 25.2, 31.4, 35.9)]) + noise("behind", 6, 2, bits=53) / 8
    far = np.array([[-1e4, 0, -0.3], [0.7, -0.2, -3e4]]) + noise("far logits", 2, 3) * 2.0**-8
    block = noise("far block", 3, 200)
    block[:, 64:] -= np.array([[20.0], [45.0], [80.0]])
    slow = np.repeat(np.arange(8) * 2.0**-7, 32)[None] + np.array([[0.0], [3.0]])
    two = np.array([[0.0, 100.0], [1000.0, 0.0], [-12_000.0, 0.0], [0.0, -200.0]])
    named = (
        ("two-classes", two, [0, 1, 0, 1]),
        ("slowly-growing", slow, [0, 255]),
        ("faint", small, [0, 2]),
        ("behind", behind, [1] * 6),
        ("far-block", single(block), [5, 0, 60]),
        ("one-far", single(far), [0, 2]),
    )
    for name, logits, labels in named:
        if plain.operation == "cross_entropy":
            values = {0: logits, 1: np.array(labels)}
        else:
            values = {0: logits, -1: noise(f"{name} dy", *logits.shape, bits=24 if name == "one-far" else 53)}
        yield changed(plain, name, values, "small probabilities", ("saturated",))


def _unlikely_class(plain: Case) -> Iterator[Case]:
    values = queries(plain, np.array([[0.25], [40.5]]), np.array([[0.0], [40.0]]), np.array([1, 0]))
    yield changed(plain, "two-classes", values, "two classes, and each query lies on the wrong one", ("saturated",))
    c, x = np.array([[0.0, 0.1], [12.2, 0.2], [24.6, 0.7]]), np.array([[0.3, 0.4], [24.1, 0.3]])
    values = queries(plain, x, c, np.array([0, 2]))
    yield changed(plain, "faint", values, "a class of probability e^-50 to e^-600", ("saturated",))
    c = noise("far block c", 200, 2) / 2
    c[64:] += 3.5
    values = queries(plain, noise("far block x", 3, 2) / 2, c, np.array([5, 0, 60]))
    yield changed(plain, "far-block", values, "136 of 200 classes have small probabilities", ("saturated",))


def _last_nearest(plain: Case) -> Case:
    """The largest logit is the last, far above all others: exp overflows for who takes an earlier one for the largest."""
    m = 600 if plain.operation == "prototypical_loss" else 12_300
    if plain.operation == "log_softmax":
        z = noise("last z", 2, m, bits=11)
        z[:, -1] += 800
        return changed(plain, "last-largest", {0: z, -1: noise("last dy", 2, m)}, f"the last of {m} logits", ("size",))
    x, c = noise("last x", 2, 1, bits=11), noise("last c", m, 1, bits=11) + 30
    c[-1], labels = x[0] + 0.25, np.array([m - 1, 3])
    logits = {0: -single((x - c.T) ** 2), 1: labels}
    values = logits if plain.operation == "cross_entropy" else queries(plain, x, c, labels)
    return changed(plain, "last-largest", values, f"the last of {m} classes is the nearest by far", ("size",))


def _axes(plain: Case) -> Iterator[Case]:
    for shape in ((2, 3, 2), (2, 2, 3, 2, 2)):
        values = {0: noise(f"axes {shape}", *shape), -1: noise(f"axes dy {shape}", *shape)}
        yield changed(plain, f"axes-{len(shape)}", values, f"{len(shape)} axes", ("plain",))


def _nearly(plain: Case) -> Iterator[Case]:
    """Factors that are nearly 1, and terms that are nearly 0: who takes them for 1 and 0 errs in float64."""
    one, zero = 1 + 2.0**-18, 2.0**-28
    near = {"scale": one, "variance": one, "shift": zero, "mean": zero}
    named = zip(plain.definition.arguments, plain.arguments, strict=True)
    values = {at: np.full_like(a, near[kind.name]) for at, (kind, a) in enumerate(named) if kind.name in near}
    if values:
        yield changed(plain, "nearly", values, "factors of 1 + 2^-18, terms of 2^-28", ("plain",))
    if values:
        yield from _on_average(plain)
    for name in sorted({"slope", "threshold"} & {*plain.parameters}):
        case = changed(plain, f"nearly-no-{name}", {}, f"{name} 2^-28", ("plain",))
        yield replace(case, parameters={**plain.parameters, name: zero})


def _on_average(plain: Case) -> Iterator[Case]:
    """Factors that are 1 and terms that are 0, on average or one of them everywhere; means far from 0 on one side."""
    values: dict[int, Any] = {}
    for at, (kind, a) in enumerate(zip(plain.definition.arguments, plain.arguments, strict=True)):
        signs = np.where(np.arange(len(a)) % 2, -1.0, 1.0)[: len(a) // 2 * 2]
        signs = np.append(signs, np.zeros(len(a) - len(signs)))
        if kind.name in ("scale", "variance"):
            values[at] = 1 + signs / 2
        elif kind.name in ("shift", "mean"):
            values[at] = signs / 4
    yield changed(plain, "on-average", values, "factors of 1 and terms of 0 on average", ("plain",))
    names = [kind.name for kind in plain.definition.arguments]
    scale = plain.arguments[names.index("scale")]
    signed = {names.index("scale"): np.where(np.arange(len(scale)) % 2, -1.0, 1.0) * scale}
    for at, kind in enumerate(plain.definition.arguments):
        if at in values:
            neutral = float(kind.name in ("scale", "variance"))
            value = {**signed, at: np.full_like(plain.arguments[at], neutral)}
            yield changed(plain, f"neutral-{kind.name}", value, f"{kind.name} is {neutral:g}", ("plain",))
    means = [at for at, kind in enumerate(plain.definition.arguments) if kind.name == "mean"]
    for at in means:
        for name, far in (("below", -3000.0), ("above", 3000.0)):
            values = {at: plain.arguments[at] + far}
            yield changed(plain, f"means-far-{name}", values, f"all means near {far:g}", ("large-mean",))


def _initial(plain: Case) -> Iterator[Case]:
    """Scale 1, shift 0, mean 0 and variance 1, as before any training; the same without eps."""
    first = {"scale": 1.0, "variance": 1.0, "shift": 0.0, "mean": 0.0}
    named = zip(plain.definition.arguments, plain.arguments, strict=True)
    values = {at: np.full_like(a, first[kind.name]) for at, (kind, a) in enumerate(named) if kind.name in first}
    if values:
        initial = changed(plain, "initial", values, "scale 1, shift 0, mean 0, variance 1", ("plain",))
        yield initial
        note = "the same, and eps 0"
        yield replace(initial, name="initial-without-eps", parameters={"eps": 0.0}, flags=("corner",), note=note)


def _no_axis(plain: Case) -> Iterator[Case]:
    sparse, dy = np.zeros(100), noise("background dy", 100)
    sparse[[7, 61]], dy[7] = (1.0, 0.5), 2.0**-70
    yield changed(plain, "background", {0: sparse, -1: dy}, "all but two of 100 numbers are 0", ("ties",))
    for name, number in (("positive", 0.75), ("negative", -0.75)):
        values = {0: np.asarray(number), -1: np.asarray(-0.5)}
        yield changed(plain, f"no-axis-{name}", values, "a number without an axis", ("one",))


def _twice(plain: Case) -> Iterator[Case]:
    z = noise("twice", 6, 3)
    z[2] = z[0]
    labels = np.array([0, 1, 0, 1, 0, 1])
    values = {0: z, 1: labels, 2: 2, -1: noise("twice dy", 2, 3)}
    yield changed(plain, "twice", values, "a class has an example twice, and another one", ("plain",))
    z = noise("first in order", 6, 3)
    values = {0: z, 1: np.array([0, 1, 2, 2, 1, 0]), 2: 3, -1: noise("first in order dy", 3, 3)}
    yield changed(plain, "first-in-order", values, "the first labels are in order, the others are not", ("plain",))
    uneven = np.array([1] * 20 + [0] + [1] * 20 + [2, 2])
    values = {0: noise("uneven", 43, 3), 1: uneven, 2: 3, -1: noise("uneven dy", 3, 3)}
    yield changed(plain, "uneven", values, "classes of 1, 40 and 2 examples", ("unbalanced",))
    values = {0: noise("in order", 64, 3), 1: np.arange(64), 2: 64, -1: noise("in order dy", 64, 3)}
    yield changed(plain, "in-order", values, "64 classes of one example, in order", ("one",))


def _separable(plain: Case) -> Iterator[Case]:
    rows = np.array([1.0, 2.0, 1.0])
    w = (np.outer(rows, rows) + noise("separable w", 3, 3, bits=6) * 2.0**-14)[:, :, None, None]
    values = {0: noise("separable x", 1, 5, 6, 1), 1: w, -1: noise("separable dy", 1, 5, 6, 1)}
    yield changed(plain, "separable", values, "the kernel is nearly a product of a column and a row", ("plain",))
    x = noise("borders", 1, 4, 6, 1, bits=8)
    x[:, 0, 1::2] = -x[:, 0, ::2]
    x[:, 1::2, -1] = -x[:, ::2, -1]
    values = {0: x, 1: w, -1: noise("borders dy", 1, 4, 6, 1)}
    yield changed(plain, "borders", values, "the first row and the last column add up to 0", ("pattern",))
    w = np.zeros((3, 3, 2, 2))
    w[1, 1] = np.eye(2)
    values = {0: noise("same image", 1, 3, 4, 2), 1: w, -1: noise("same image dy", 1, 3, 4, 2)}
    yield changed(plain, "identity", values, "the kernel gives the image itself", ("plain",))


def _nearly_tied(plain: Case) -> Iterator[Case]:
    for name, power in (("single", -23), ("double", -46)):
        order = np.argsort(noise("nearly tied", 48)).reshape(1, 4, 6, 2)
        values = {0: 1 + order * 2.0**power, -1: noise("nearly tied dy", 1, 2, 3, 2)}
        yield changed(plain, f"nearly-tied-{name}", values, f"all values differ, some by 2^{power} only", ("plain",))


def _channels(plain: Case) -> Iterator[Case]:
    for name, bits in (("far-start", 24), ("far-start-double", 53)):
        far = noise("far start", 4100, 2, bits=bits)
        far[:16] += 2.0**12
        values = {0: far, -1: noise("far start dy", 4100, 2)}
        case = changed(plain, name, values, "the first 16 values are far from all others", ("large-mean",))
        # Deviations of short numbers from their mean end in the same bits: the roundings of their sum go one way.
        yield replace(case, one_way=("float64",) if bits == 24 else ())
    background = np.array([0.0, 1.0]) * np.ones((100, 1))
    background[[5, 37, 64]] += [[1.0, -0.5], [-0.25, 2.0], [0.5, 0.75]]
    values = {0: background, -1: noise("background dy", 100, 2)}
    yield changed(plain, "background", values, "all but 3 of 100 values are the same", ("pattern",))
    scale, shift = np.array([1 + 2.0**-17, 1 - 2.0**-18]), np.array([2.0**-20, 0])
    for power in (-12, -20, -34):
        near = np.where(np.arange(24)[:, None] % 2, 1.0, -1.0) + noise("normal", 24, 2, bits=53) * 2.0**power
        values = {0: single(near) if power > -24 else near, 1: scale, 2: shift, -1: noise("normal dy", 24, 2)}
        note = f"mean and variance are 0 and 1 but for 2^{power}, scale and shift nearly 1 and 0"
        yield changed(plain, f"normal-but-2^{power}", values, note, ("plain",))
