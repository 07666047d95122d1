"""Support sets and whole episodes of embeddings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from leakysm.ops.metrics import (
    Cosine,
    Euclidean,
    LeakySquaredEuclidean,
    Metric,
    RestrictedSquaredEuclidean,
    SquaredEuclidean,
)
from leakysm.ops.restriction import Leak, Log, Root
from leakysm.verify.case import Case
from leakysm.verify.cases.numbers import cotangent, cyclic, noise, single

METRICS: dict[str, Metric] = {
    "squared": SquaredEuclidean(),
    "leaky": LeakySquaredEuclidean(threshold=1.0, slope=0.1),
    "leaky-per-coordinate": LeakySquaredEuclidean(threshold=0.25, slope=0.125, per="coordinate"),
    "scaled": LeakySquaredEuclidean(threshold=0.0, slope=0.1),
    "euclidean": Euclidean(),
    "cosine": Cosine(),
}
RESTRICTED: dict[str, Metric] = {
    "root": RestrictedSquaredEuclidean(Root(2.0)),
    "log-per-coordinate": RestrictedSquaredEuclidean(Log(4.0), per="coordinate"),
}
UNSTORED: dict[str, Metric] = {  # not in the reference vectors
    "root-per-coordinate": RestrictedSquaredEuclidean(Root(0.25), per="coordinate"),
    "log": RestrictedSquaredEuclidean(Log(2.0)),
    "leak-per-coordinate": RestrictedSquaredEuclidean(Leak(0.25, 0.125), per="coordinate"),
}
EVERY = METRICS | RESTRICTED | UNSTORED


def prototypes_cases() -> list[Case]:
    def case(name: str, z: Any, labels: Any, flags: tuple[str, ...], note: str, own: bool = False) -> Case:
        labels = np.asarray(labels, dtype=np.int64)
        classes = int(labels.max(initial=-1)) + 1
        dy = cotangent(name, (classes, z.shape[1]), z)
        return Case("prototypes", name, (z, labels, classes), dy, {}, flags, note, own)

    return [
        case("plain", noise("z1", 6, 4), cyclic(6, 3), ("plain",), "two shots, labels interleaved"),
        case("plain-double", noise("z2", 6, 4, bits=53), cyclic(6, 2), ("plain",), "numbers of float64"),
        case("plain-half", noise("z3", 6, 4, bits=11), cyclic(6, 2), ("plain",), "numbers of float16"),
        case("one-shot", noise("z4", 4, 5), [2, 0, 3, 1], ("one",), "one shot: prototypes are the embeddings, in the labels' order"),
        case("one-class", noise("z5", 5, 3), [0] * 5, ("one",), "one class"),
        case("unbalanced", noise("z6", 9, 3), [0, 2, 2, 1, 2, 0, 2, 2, 2], ("unbalanced",), "2, 1 and 6 shots, any order"),
        case("far", single(1e4 + noise("z7", 6, 3)), cyclic(6, 2), ("far",), "1e4 from the origin"),
        case("cancelling", np.concatenate([noise("z8", 3, 4), -noise("z8", 3, 4)]), [0] * 6, ("mixed",), "a mean of exactly 0"),
        case("subnormal", single(noise("z9", 4, 3) * 1e-40), cyclic(4, 2), ("subnormal",), "subnormal in float32"),
        case("large", single(noise("z10", 4, 3) * 3e38), [0, 0, 1, 1], ("large",), "near float32's end: the mean is finite, the sum is not", own=True),
        case("wide", noise("z11", 100, 2), [0] * 100, ("wide",), "a hundred shots"),
        case("no-coordinate", np.zeros((4, 0)), cyclic(4, 2), ("empty",), "D = 0", own=True),
        case("no-class", np.zeros((0, 3)), [], ("empty",), "no class, no support", own=True),
    ]  # fmt: skip


def distance_cross_entropy_cases() -> list[Case]:
    """All cases with two metrics, and some with the others, for `prototypical_loss` tries these with all of its own."""
    some = ("plain", "query-on-prototype", "exploded")
    return [
        replace(case, stored=name not in UNSTORED)
        for name, metric in EVERY.items()
        for case in _queries(name, metric)
        if name in ("squared", "leaky") or case.name.removeprefix(f"{name}-") in some
    ]


def _queries(prefix: str, metric: Metric) -> list[Case]:
    def case(
        name: str, x: Any, c: Any, labels: Any, flags: tuple[str, ...], note: str, dy: float = 1.0, **of: Any
    ) -> Case:
        arguments = (x, c, np.asarray(labels, dtype=np.int64))
        parameters, name = {"distance": metric}, f"{prefix}-{name}"
        return Case("distance_cross_entropy", name, arguments, np.asarray(dy), parameters, flags, note, **of)

    x, c = noise("x" + prefix, 5, 6), noise("c" + prefix, 4, 6)
    exploded = 64 if metric.operation in ("squared_euclidean", "euclidean") else 8
    return [
        case("plain", x, c, cyclic(5, 4), ("plain",), "5 queries, 4 prototypes"),
        case("cotangent", x, c, [1, 0, 0, 3, 1], ("plain",), "labels in any order, dy = -1.5", -1.5),
        case("double", noise("xd", 3, 4, bits=53), noise("cd", 3, 4, bits=53), [2, 1, 0], ("plain",), "numbers of float64"),
        case("half", noise("xh", 3, 4, bits=11), noise("ch", 3, 4, bits=11), [2, 1, 0], ("plain",), "numbers of float16"),
        case("query-on-prototype", np.stack([c[0], c[2], x[0]]), c, [0, 1, 2], ("coincident",), "two queries lie on prototypes, one of them the wrong one"),
        case("equal-prototypes", x, np.stack([c[0], c[1], c[0], c[0]]), cyclic(5, 4), ("ties",), "three equal prototypes, the label any of them"),
        case("exploded", x * exploded, c * exploded, cyclic(5, 4), ("saturated",), "far apart: a saturated softmax"),
        case("right", c * exploded + x[:4] / 64, c * exploded, cyclic(4, 4), ("saturated",), "each query beside its own prototype: a tiny loss"),
        case("far", single(1000 + x), single(1000 + c), cyclic(5, 4), ("far",), "1000 from the origin"),
        case("one-class", x, c[:1], [0] * 5, ("one",), "one class: loss and gradient 0"),
        case("no-row", np.zeros((0, 3)), noise("cn", 2, 3), [], ("empty",), "N = 0: the empty mean is 0", own=True),
    ]  # fmt: skip


def prototypical_loss_cases() -> list[Case]:
    """All cases with the metrics of the reference vectors, and some with the others."""
    some = ("one-shot", "query-on-support", "exploded")
    return [
        replace(case, stored=name not in UNSTORED)
        for name, metric in EVERY.items()
        for case in _episodes(name, metric)
        if name not in UNSTORED or case.name.removeprefix(f"{name}-") in some
    ]


def _episodes(prefix: str, metric: Metric) -> list[Case]:
    def case(name: str, s: Any, sl: Any, q: Any, ql: Any, flags: tuple[str, ...], note: str, dy: float = 1.0) -> Case:
        arguments = (s, np.asarray(sl, dtype=np.int64), q, np.asarray(ql, dtype=np.int64))
        return Case(
            "prototypical_loss", f"{prefix}-{name}", arguments, np.asarray(dy), {"distance": metric}, flags, note
        )

    s, q = noise("s" + prefix, 4, 6), noise("q" + prefix, 5, 6)
    exploded = 8 if metric.operation in ("leaky_squared_euclidean", "cosine_distance") else 64
    return [
        case("one-shot", s, cyclic(4, 4), q, cyclic(5, 4), ("plain",), "4-way 1-shot"),
        case("shots", s, cyclic(4, 2), q, cyclic(5, 2), ("unbalanced",), "2-way 2-shot, labels interleaved"),
        case("unbalanced", s, [1, 0, 1, 1], q, [1, 0, 0, 1, 1], ("unbalanced",), "1 and 3 shots, dy = -1.5", -1.5),
        case("double", noise("sd", 3, 4, bits=53), [0, 1, 2], noise("qd", 3, 4, bits=53), [2, 1, 0], ("plain",), "numbers of float64"),
        case("half", noise("sh", 3, 4, bits=11), [0, 1, 2], noise("qh", 3, 4, bits=11), [2, 1, 0], ("plain",), "numbers of float16"),
        case("query-on-support", s, cyclic(4, 4), np.stack([s[0], s[2], q[0]]), [0, 1, 2], ("coincident",), "two queries lie on prototypes, one of them the wrong one"),
        case("exploded", s * exploded, cyclic(4, 4), q * exploded, cyclic(5, 4), ("saturated",), "far apart: a saturated softmax"),
        case("right", s * exploded, cyclic(4, 4), s * exploded + q[:4] / 64, cyclic(4, 4), ("saturated",), "each query beside its own prototype: a tiny loss"),
        case("far", single(1000 + s), cyclic(4, 4), single(1000 + q), cyclic(5, 4), ("far",), "1000 from the origin"),
        case("one-class", s, [0] * 4, q, [0] * 5, ("one",), "one class: loss and gradient 0"),
        case("episode", noise("se", 5, 64), cyclic(5, 5), noise("qe", 10, 64), cyclic(10, 5), ("wide",), "5-way 1-shot, embeddings of 64 values"),
    ]  # fmt: skip
