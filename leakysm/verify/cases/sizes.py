"""Cases of every operation at the sizes of `size_tables`.

They are too large for the reference vectors. Where many pairs are compared, only some rows and columns are looked at:
the corners, the edges of blocks, and a few others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from leakysm.ops.metrics import Metric
from leakysm.ops.restriction import Log
from leakysm.verify.case import Case
from leakysm.verify.cases.episode import EVERY, METRICS
from leakysm.verify.cases.numbers import cotangent, noise
from leakysm.verify.cases.size_tables import (
    BLOCKS,
    CHANNELS,
    CONVOLUTIONS,
    DOUBLES,
    EPISODES,
    IMAGES,
    PAIRS,
    QUERIES,
    QUERIES_OF_EVERY_METRIC,
    ROWS,
    SUPPORTS,
    VECTORS,
    edges,
)
from leakysm.verify.sample import ChannelSample, PairSample

# Labels at the ends of blocks, of some numbers of prototypes.
SEAMS = {
    255: (200, 199, 128), 1025: (1024, 1023), 65_539: (65_538,), 40_961: (40_960,), 10_081: (8191,),
    1201: tuple(k - less for k in (100, 128, 150, 200, 250, 256, 300, 384, 400, 500, 512, 600, 750, 768, 800, 900, 1000, 1024, 1200)
                for less in (0, 1)),
}  # fmt: skip
MOST_TERMS = 10_000  # N M D; above that only a sample is compared
MOST_GRADIENT_TERMS = 1 << 18  # of the gradients of the rows that are looked at, and of those of the columns


def of(operation: str) -> list[Case]:
    """The cases of an operation, one for each of its sizes."""
    return list(_FAMILIES[operation](operation))


def _widths(sizes: Any) -> Iterator[tuple[Any, int, str]]:
    """Every size with the bits of its numbers and a suffix for its name."""
    for size in sizes:
        flat = (*size[0], size[1]) if isinstance(size[0], tuple) else size
        yield size, 24, ""
        if flat in DOUBLES:
            yield size, 53, "-double"


def _case(operation: str, size: Any, arguments: tuple[Any, ...], dy: Any, note: str, **others: Any) -> Case:
    name = "size-" + "x".join(str(s) for s in size) + others.pop("suffix", "")
    return Case(operation, name, arguments, dy, others.pop("parameters", {}), ("size",), note, stored=False, **others)


def _pairs(parameters: Mapping[str, Any], suffix: str = "") -> Callable[[str], Iterator[Case]]:
    def cases(operation: str) -> Iterator[Case]:
        for size, bits, double in _widths(PAIRS):
            n, m, d = size
            many = n * m * d > MOST_TERMS and n * m > 1
            between = many and _by_coordinate(parameters)
            bits = 16 if between else bits
            # A formula that cancels far from the origin may be used for many pairs alone.
            offset = 16.0 * (many and operation != "cosine_distance")
            x, c = (
                noise(f"size {name} {n} {m} {d}", rows, d, bits=bits - 5 * many) + offset
                for name, rows in (("x", n), ("c", m))
            )
            yield _case(
                operation, size, (x, c), cotangent(f"size {n} {m} {d}", (n, m), x, c),
                f"{n} queries, {m} prototypes, width {d}", suffix=suffix + double,
                parameters={**parameters, **_threshold(parameters, d, between=between)},
                sample=_sample(size) if many else None,
                # The squares of short numbers are exact in float64, and the roundings of their sums go one way.
                one_way=("float64",) if d > 16 and bits < 53 else (),
            )  # fmt: skip

    return cases


def _by_coordinate(parameters: Mapping[str, Any]) -> bool:
    return "threshold" in parameters and parameters["per"] == "coordinate"


def _threshold(parameters: Mapping[str, Any], d: int, *, between: bool) -> dict[str, float]:
    """The threshold for points of width d, if the operation has one.

    Of pairs about as many are below it as above. between: it lies between two squares of short numbers.
    """
    if "threshold" not in parameters:
        return {}
    if _by_coordinate(parameters):
        return {"threshold": parameters["threshold"] + between * 2.0**-21}
    return {"threshold": 0.625 * d if d > 2 else 1.0}


def _sample(size: tuple[int, int, int]) -> PairSample:
    """The rows and columns that are looked at, as many as exact gradients are quickly worked out for."""
    n, m, d = size
    step = 1 if n * m * d < 1 << 20 else 4 if n * m * d < 1 << 22 else 9
    looked_at = (edges(length)[::-step][::-1] for length in (n, m))  # the last one is among them
    terms = (m * d, n * d)  # of the gradient of each row, and of each column
    return PairSample(*(at[-max(1, MOST_GRADIENT_TERMS // t) :] for at, t in zip(looked_at, terms, strict=True)))


def _leaky(operation: str) -> Iterator[Case]:
    pair = {"threshold": 1.0, "slope": 0.125, "per": "pair"}
    yield from _pairs(pair)(operation)
    yield from _pairs(pair | {"threshold": 0.25, "per": "coordinate"}, "-per-coordinate")(operation)


def _rows(operation: str) -> Iterator[Case]:
    for (n, m), bits, double in _widths(ROWS):
        z = noise(f"size z {n} {m}", n, m, bits=53 if bits == 53 else 6 if n * m > 1000 else 11) * 4
        labels = _at_seams(f"size labels {n} {m}", n, m)
        loss = operation == "cross_entropy"
        arguments, dy = ((z, labels), np.asarray(1.0)) if loss else ((z,), cotangent(f"size z {n} {m}", (n, m), z))
        # Beside so large a sum the smallest terms vanish in float32, one after the other: these roundings go one way.
        one_way = ("float16", "float32") if m > 1 << 15 else ()
        note = f"{n} rows, {m} classes"
        yield _case(operation, (n, m), arguments, dy, note, suffix=double, one_way=one_way)


def _at_seams(name: str, n: int, classes: int) -> Any:
    """n labels, first those at the ends of blocks."""
    labels = np.floor((noise(name, n) + 1) / 2 * classes).astype(np.int64)
    seams = SEAMS.get(classes, ())
    labels[: len(seams)] = seams
    return labels


def _supports(operation: str) -> Iterator[Case]:
    for (s, m, d), bits, double in _widths(SUPPORTS):
        z, labels = noise(f"size s {s} {m} {d}", s, d, bits=bits), _labels(s, m)
        dy = cotangent(f"size s {s} {m} {d}", (m, d), z)
        note = f"{s} examples of {m} classes, width {d}"
        yield _case(operation, (s, m, d), (z, labels, m), dy, note, suffix=double)


def _labels(n: int, classes: int) -> Any:
    """Every class at least once, the last one twice if it can be, then any, in an order that is not sorted."""
    more = np.floor((noise(f"size labels {n} {classes}", n - classes) + 1) / 2 * classes).astype(np.int64)
    more[:1] = classes - 1
    labels = np.concatenate([np.arange(classes), more])
    return labels[np.argsort(noise(f"size order {n} {classes}", n), kind="stable")]


def _queries(operation: str) -> Iterator[Case]:
    metrics = itertools.cycle(METRICS.items())
    in_turn = [(*next(metrics), *width) for width in _widths(QUERIES)]
    every = [(*item, size, 24, "") for item in EVERY.items() for size in QUERIES_OF_EVERY_METRIC]
    for name, metric, (n, m, d), bits, double in [*in_turn, *every]:
        x, c = noise(f"size dx {n} {m} {d}", n, d, bits=bits), noise(f"size dc {n} {m} {d}", m, d, bits=bits)
        if m > 1000:  # two nearest prototypes, alike, at both ends
            c[-1], x[0] = c[0], c[0] + 2.0**-22
        labels = _at_seams(f"size dl {n} {m}", n, m)
        yield _case(
            operation, (n, m, d), (x, c, labels), np.asarray(1.0), f"{n} queries, {m} prototypes, width {d}",
            suffix=f"-{name}{double}", parameters={"distance": metric},
            one_way=("float64",) if d > 16 and bits == 24 else (),
        )  # fmt: skip


def _episodes(operation: str) -> Iterator[Case]:
    for number, ((s, m, q, d), bits, double) in enumerate(_widths(EPISODES)):
        names = f"size e {s} {m} {q} {d}", f"size q {s} {m} {q} {d}"
        support, query = noise(names[0], s, d, bits=bits), noise(names[1], q, d, bits=bits)
        labels = np.floor((noise(f"size ql {q} {m}", q) + 1) / 2 * m).astype(np.int64)
        metrics = list(METRICS.items()) if number < 2 else [list(METRICS.items())[number % len(METRICS)]]
        chosen: list[tuple[str, Metric]] = [("squared", METRICS["squared"]), *metrics]
        for name, metric in dict(chosen).items():
            arguments = (support, _labels(s, m), query, labels)
            yield _case(
                operation, (s, m, q, d), arguments, np.asarray(1.0),
                f"{s} examples of {m} classes, {q} queries, width {d}", suffix="-" + name + double,
                parameters={"distance": metric}, one_way=("float64",) if d > 16 and bits == 24 else (),
            )  # fmt: skip


def _convolutions(operation: str) -> Iterator[Case]:
    for (n, h, w, c, f), bits, double in _widths(CONVOLUTIONS):
        bits = 11 if n * h * w * c * f > 1 << 16 else bits  # exact in float64
        x = noise(f"size i {n} {h} {w} {c} {f}", n, h, w, c, bits=bits)
        kernel = noise(f"size k {c} {f}", 3, 3, c, f, bits=bits)
        dy = cotangent(f"size i {n} {h} {w} {c} {f}", (n, h, w, f), x, kernel)
        note = f"{n} images of {h}x{w}, {c} channels, {f} filters"
        yield _case(operation, (n, h, w, c, f), (x, kernel), dy, note, suffix=double)


def _vectors(operation: str) -> Iterator[Case]:
    for shape, bits, double in _widths(VECTORS):
        x = noise(f"size r {shape}", *shape, bits=bits)
        x = abs(x) if 1000 < x.size < 50_000 else x  # every element counts
        yield _case(operation, shape, (x,), cotangent(f"size r {shape}", shape, x), f"shape {shape}", suffix=double)


def _pools(operation: str) -> Iterator[Case]:
    for (n, h, w, c), bits, double in _widths(IMAGES):
        x = noise(f"size p {n} {h} {w} {c}", n, h, w, c, bits=bits)
        dy = cotangent(f"size p {n} {h} {w} {c}", (n, h // 2, w // 2, c), x)
        yield _case(operation, (n, h, w, c), (x,), dy, f"{n} images of {h}x{w}, {c} channels", suffix=double)


def _channels(operation: str) -> Iterator[Case]:
    for (front, c), bits, double in _widths(CHANNELS):
        shape, short = (*front, c), 11 if bits == 24 else 53
        many = int(np.prod(shape)) > 1 << 16
        if many and c == 1 and operation == "batch_norm_inference":
            continue  # it has no sums
        # A formula that cancels for a large mean may be used for many values alone.
        x = noise(f"size b {shape}", *shape, bits=bits - 5 * many) + (16 if many else 0.25)
        arguments = [x, *(noise(f"size b {name} {c}", c, bits=short) for name in ("scale", "shift", "mean"))]
        if operation == "batch_norm_inference":
            arguments.append(noise(f"size b variance {c}", c, bits=8) + 1.25)
        else:
            del arguments[3]
        note = f"{x.size // c} values a channel, {c} channels"
        dy = cotangent(f"size b {shape}", shape, x)
        sample = ChannelSample(edges(c)[::4]) if many else None
        yield _case(operation, shape, tuple(arguments), dy, note, suffix=double, sample=sample)


def _blocks(operation: str) -> Iterator[Case]:
    for (n, h, w, c, f), bits, double in _widths(BLOCKS):
        bits = 11 if c > 1000 else bits  # exact in float64
        x = noise(f"size k {n} {h} {w} {c} {f}", n, h, w, c, bits=bits)
        kernel = noise(f"size kw {c} {f}", 3, 3, c, f, bits=bits)
        channels = [noise(f"size k scale {f}", f, bits=11), noise(f"size k shift {f}", f, bits=11)]
        if operation == "conv_block_inference":
            channels += [noise(f"size k mean {f}", f, bits=8), noise(f"size k variance {f}", f, bits=8) + 1.5]
        dy = cotangent(f"size k {n} {h} {w} {c} {f}", (n, h // 2, w // 2, f), x, kernel)
        note = f"{n} images of {h}x{w}, {c} channels, {f} filters"
        yield _case(operation, (n, h, w, c, f), (x, kernel, *channels), dy, note, suffix=double)


_FAMILIES: Mapping[str, Callable[[str], Iterator[Case]]] = {
    "squared_euclidean": _pairs({}),
    "euclidean": _pairs({}),
    "cosine_distance": _pairs({}),
    "leaky_squared_euclidean": _leaky,
    "restricted_squared_euclidean": _pairs({"restriction": Log(2.0), "per": "pair"}),
    "prototypes": _supports,
    "log_softmax": _rows,
    "cross_entropy": _rows,
    "distance_cross_entropy": _queries,
    "prototypical_loss": _episodes,
    "conv2d": _convolutions,
    "relu": _vectors,
    "max_pool2d": _pools,
    "batch_norm": _channels,
    "batch_norm_inference": _channels,
    "conv_block": _blocks,
    "conv_block_inference": _blocks,
}
