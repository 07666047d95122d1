"""Every axis of every operation across the sizes that blocks, tiles, warps and channel groups come in.

A mistake beyond the first tile, at a size that is no multiple of 4 to 64, or at one index only, shows in one of these.
They are too large for the reference vectors. Where many pairs are compared, only some rows and columns are looked at:
the corners, the edges of blocks, and a few others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from leakysm.ops.metrics import Metric
from leakysm.ops.restriction import Log, Root
from leakysm.verify.cases.episode import METRICS
from leakysm.verify.cases.numbers import cotangent, noise
from leakysm.verify.registry import Case, Sample

MOST_TERMS = 10_000  # of N M D: beyond that a sample is looked at
EDGES = (
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    17,
    31,
    32,
    33,
    63,
    64,
    65,
    100,
    127,
    128,
    129,
    255,
    256,
    257,
    511,
    512,
    513,
    1023,
    1024,
)

PAIRS = (  # queries, prototypes, width
    (17, 33, 8), (33, 4, 64), (64, 16, 17), (129, 5, 31), (5, 130, 16), (9, 7, 257), (256, 3, 4), (3, 255, 32),
    (1, 1, 2049), (1, 1, 4096), (1025, 2, 1), (2, 1024, 1), (10_000, 1, 1), (1, 10_000, 1), (1, 1, 10_000),
    (5000, 1, 2), (1, 5000, 2), (128, 2, 1), (2, 128, 1), (1, 2, 128),
    (600, 520, 2), (36, 35, 34), (100, 3, 101), (2, 101, 100), (9, 9, 9),
)  # fmt: skip
ROWS = (  # rows, classes
    (17, 33), (33, 64), (64, 17), (129, 5), (5, 130), (256, 3), (3, 255), (513, 2), (2, 1025), (1, 4096), (10_000, 2),
    (2, 10_000), (128, 3), (3, 128), (67, 66), (9, 9),
)  # fmt: skip
SUPPORTS = (  # examples, classes, width
    (17, 3, 33), (65, 16, 5), (130, 64, 3), (33, 33, 4), (257, 2, 3), (300, 130, 2), (1025, 3, 1), (10_000, 2, 1),
    (3, 2, 1025), (2, 1, 10_000), (1200, 1025, 1), (2100, 2060, 1),
    (128, 3, 2), (130, 128, 2), (3, 2, 128), (70, 66, 67), (9, 4, 9), (11, 7, 7), (600, 300, 1),
)  # fmt: skip
EPISODES = (  # support, classes, queries, width
    (5, 5, 33, 8), (17, 16, 5, 9), (66, 65, 3, 4), (65, 2, 4, 5), (4, 3, 130, 3), (6, 2, 3, 257), (3, 3, 1025, 1),
    (2, 2, 2, 2049), (130, 129, 2, 2), (1030, 2, 2, 1), (2, 2, 4100, 1), (1100, 1025, 2, 1),
    (128, 3, 2, 2), (129, 128, 2, 1), (4, 3, 128, 2), (3, 2, 2, 128),
    (70, 36, 35, 37), (9, 3, 4, 66), (9, 9, 9, 9), (8, 4, 8, 8), (600, 300, 2, 1),
)  # fmt: skip
CONVOLUTIONS = (  # images, rows, columns, channels, filters
    (17, 3, 2, 3, 2), (1, 33, 3, 2, 1), (1, 2, 65, 1, 3), (1, 3, 2, 130, 2), (2, 3, 2, 3, 129), (65, 2, 2, 1, 2),
    (2, 17, 18, 5, 7), (1, 130, 2, 1, 1), (1, 2, 257, 1, 1), (1, 1, 2, 1025, 1), (1, 1, 2, 1, 1025), (600, 1, 1, 2, 1),
    (3, 16, 8, 4, 8), (2, 5, 4, 33, 17), (1, 32, 33, 1, 1), (1030, 2, 1, 1, 1), (1, 1, 2, 4100, 1), (1, 1, 2, 1, 4100),
    (128, 2, 1, 1, 1), (1, 128, 2, 1, 1), (1, 2, 128, 1, 1), (1, 1, 2, 128, 1), (1, 1, 2, 1, 128),
    (34, 35, 1, 1, 1), (34, 1, 35, 1, 1), (34, 1, 1, 35, 1), (34, 1, 1, 1, 35), (1, 34, 35, 1, 2), (1, 34, 1, 35, 1),
    (1, 34, 1, 1, 35), (1, 1, 34, 35, 1), (1, 1, 34, 1, 35), (1, 1, 1, 34, 35), (5, 6, 7, 6, 5), (4, 4, 4, 4, 4),
    (2, 3, 3, 3, 3),
)  # fmt: skip
IMAGES = (  # images, rows, columns, channels
    (1, 2, 2, 1000), (65, 2, 2, 3), (1, 130, 2, 1), (1, 2, 257, 2), (3, 17, 18, 9), (2, 8, 6, 64), (1, 33, 34, 5),
    (300, 2, 4, 1), (2, 4, 4, 33), (1, 64, 64, 2), (4100, 2, 2, 1), (1, 4100, 2, 1), (1, 2, 4100, 1), (1, 2, 2, 4100),
    (9, 18, 20, 3), (1, 2, 2, 128), (128, 2, 2, 1), (1, 128, 2, 1), (1, 2, 256, 1),
    (34, 70, 2, 1), (34, 2, 70, 1), (34, 2, 2, 35), (1, 70, 2, 35), (1, 2, 70, 35), (3, 18, 20, 17), (4, 4, 4, 4),
    (2, 4, 4, 2),
)  # fmt: skip
VECTORS = ((10_000,), (17,), (128,), (33, 65), (3, 129, 2), (2, 257, 3, 1), (2, 2, 2, 2, 8), (1, 1025),
           (9, 9), (4, 4, 4, 4), (130, 131), (5, 6, 7, 8))  # fmt: skip
CHANNELS = (  # the axes before the channels, channels
    ((10_000,), 1), ((2,), 4100), ((1025,), 3), ((130,), 64), ((33,), 130), ((2,), 1000), ((17,), 257), ((2, 3, 4), 65),
    ((3,), 128), ((128,), 3), ((3, 8, 8), 17), ((64,), 9), ((257,), 4), ((512,), 2), ((5, 7, 3), 33),
    ((66,), 67), ((9,), 9), ((4, 4, 4), 4), ((5, 6, 7), 8), ((34, 1, 35), 2), ((34, 35, 1), 3), ((2, 34, 35), 3),
)  # fmt: skip
BLOCKS = (  # images, rows, columns, channels, filters
    (2, 4, 4, 5, 9), (2, 2, 4, 17, 3), (2, 6, 4, 3, 33), (1, 4, 2, 2, 65), (17, 2, 2, 2, 3), (1, 34, 2, 1, 2),
    (1, 2, 66, 1, 2), (2, 2, 4, 33, 2), (66, 2, 2, 1, 2), (2, 2, 2, 2, 130), (1, 2, 4, 130, 2), (2, 7, 9, 4, 4),
    (1, 2, 257, 1, 1), (300, 2, 2, 1, 1), (3, 8, 8, 4, 8),
    (128, 2, 2, 1, 1), (1, 2, 4, 128, 1), (2, 2, 2, 1, 128), (1, 128, 2, 1, 1), (1, 2, 128, 1, 1),
    (18, 36, 2, 1, 1), (18, 2, 36, 1, 1), (18, 2, 2, 19, 1), (18, 2, 2, 1, 19), (1, 34, 36, 1, 2), (1, 36, 2, 19, 1),
    (1, 36, 2, 1, 19), (1, 2, 36, 19, 1), (1, 2, 36, 1, 19), (2, 2, 2, 18, 19), (4, 4, 4, 4, 4), (5, 6, 6, 5, 5),
)  # fmt: skip


# Sizes that are also tried with numbers of 53 bits, for mistakes that lose bits only beyond some size.
DOUBLES = {
    *PAIRS[:3], (1, 1, 2049), *((17, 33), (64, 17), (3, 255), (129, 5)), *((65, 16, 5), (17, 3, 33), (33, 33, 4)),
    *((17, 16, 5, 9), (5, 5, 33, 8), (65, 2, 4, 5)), *CONVOLUTIONS[:3], (1, 1, 2, 128, 1), (2, 5, 4, 33, 17),
    (3, 17, 18, 9), (33, 65), (33, 130), (130, 64), (3, 8, 8, 17), *BLOCKS[:3], (17, 2, 2, 2, 3), (2, 2, 4, 33, 2),
    (9, 3, 4, 66), (1, 2, 70, 35), (1, 33, 34, 5), (5, 6, 7, 6, 5), (5, 6, 6, 5, 5),
}  # fmt: skip


def edges(n: int) -> Any:
    """The indices below n that are looked at: the first and last, the edges of blocks, and some others."""
    if n <= 24:
        return np.arange(n)
    others = np.floor((noise(f"edges {n}", 6) + 1) / 2 * n).astype(int)
    return np.unique([*(e for e in EDGES if e < n), *range(n - 3, n), *others])


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
        for (n, m, d), bits, double in _widths(PAIRS):
            x, c = noise(f"size x {n} {m} {d}", n, d, bits=bits), noise(f"size c {n} {m} {d}", m, d, bits=bits)
            sample = Sample(edges(n), edges(m)) if n * m * d > MOST_TERMS and d < 1000 else None
            one_way = (
                ("float64",) if d > 16 and bits == 24 else ()
            )  # the squares of short numbers are exact, and their sums drift
            given = dict(parameters)
            if "threshold" in given and given["per"] == "pair":
                given["threshold"] = 0.625 * d if d > 2 else 1.0  # about as many distances below as above
            yield _case(
                operation, (n, m, d), (x, c), cotangent(f"size {n} {m} {d}", (n, m), x, c),
                f"{n} queries, {m} prototypes, width {d}", suffix=suffix + double, parameters=given, sample=sample,
                one_way=one_way,
            )  # fmt: skip

    return cases


def _leaky(operation: str) -> Iterator[Case]:
    pair = {"threshold": 1.0, "slope": 0.125, "per": "pair"}
    yield from _pairs(pair)(operation)
    yield from _pairs(pair | {"threshold": 0.25, "per": "coordinate"}, "-per-coordinate")(operation)


def _restricted(operation: str) -> Iterator[Case]:
    yield from _pairs({"restriction": Log(2.0), "per": "pair"})(operation)
    yield from _pairs({"restriction": Root(0.5), "per": "pair"}, "-root")(operation)


def _rows(operation: str) -> Iterator[Case]:
    for (n, m), bits, double in _widths(ROWS):
        z = noise(f"size z {n} {m}", n, m, bits=53 if bits == 53 else 6 if n * m > 1000 else 11) * 4
        labels = np.floor((noise(f"size labels {n} {m}", n) + 1) / 2 * m).astype(np.int64)
        loss = operation == "cross_entropy"
        arguments, dy = ((z, labels), np.asarray(1.0)) if loss else ((z,), cotangent(f"size z {n} {m}", (n, m), z))
        yield _case(operation, (n, m), arguments, dy, f"{n} rows, {m} classes", suffix=double)


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
        x = noise(f"size i {n} {h} {w} {c} {f}", n, h, w, c, bits=bits)
        kernel = noise(f"size k {c} {f}", 3, 3, c, f, bits=bits)
        dy = cotangent(f"size i {n} {h} {w} {c} {f}", (n, h, w, f), x, kernel)
        note = f"{n} images of {h}x{w}, {c} channels, {f} filters"
        yield _case(operation, (n, h, w, c, f), (x, kernel), dy, note, suffix=double)


def _vectors(operation: str) -> Iterator[Case]:
    for shape, bits, double in _widths(VECTORS):
        x = noise(f"size r {shape}", *shape, bits=bits)
        x = abs(x) if x.size > 1000 else x  # every element counts
        yield _case(operation, shape, (x,), cotangent(f"size r {shape}", shape, x), f"shape {shape}", suffix=double)


def _pools(operation: str) -> Iterator[Case]:
    for (n, h, w, c), bits, double in _widths(IMAGES):
        x = noise(f"size p {n} {h} {w} {c}", n, h, w, c, bits=bits)
        dy = cotangent(f"size p {n} {h} {w} {c}", (n, h // 2, w // 2, c), x)
        yield _case(operation, (n, h, w, c), (x,), dy, f"{n} images of {h}x{w}, {c} channels", suffix=double)


def _channels(operation: str) -> Iterator[Case]:
    for (front, c), bits, double in _widths(CHANNELS):
        shape, short = (*front, c), 11 if bits == 24 else 53
        x = noise(f"size b {shape}", *shape, bits=bits) + 0.25
        arguments = [x, *(noise(f"size b {name} {c}", c, bits=short) for name in ("scale", "shift", "mean"))]
        if operation == "batch_norm_inference":
            arguments.append(noise(f"size b variance {c}", c, bits=8) + 1.25)
        else:
            del arguments[3]
        note = f"{x.size // c} values a channel, {c} channels"
        dy = cotangent(f"size b {shape}", shape, x)
        yield _case(operation, shape, tuple(arguments), dy, note, suffix=double)


def _blocks(operation: str) -> Iterator[Case]:
    for (n, h, w, c, f), bits, double in _widths(BLOCKS):
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
    "restricted_squared_euclidean": _restricted,
    "prototypes": _supports,
    "log_softmax": _rows,
    "cross_entropy": _rows,
    "prototypical_loss": _episodes,
    "conv2d": _convolutions,
    "relu": _vectors,
    "max_pool2d": _pools,
    "batch_norm": _channels,
    "batch_norm_inference": _channels,
    "conv_block": _blocks,
    "conv_block_inference": _blocks,
}
