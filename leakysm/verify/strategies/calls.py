"""Strategies for whole calls of the built-in operations: arguments, parameters and cotangent, as a `Case`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from leakysm.ops.restriction import Leak
from leakysm.verify.case import Case
from leakysm.verify.strategies.arrays import (
    DTYPES,
    LOGIT_KINDS,
    PAIR_KINDS,
    Array,
    Draw,
    arrays,
    cotangents,
    episodes,
    images,
    labels,
    logits,
    metrics,
    pairs,
    restrictions,
    slopes,
    support_labels,
    thresholds,
)


@st.composite
def _distance_case(draw: Draw, operation: str) -> Case:
    dtype = draw(DTYPES)
    kind = draw(st.sampled_from(PAIR_KINDS))
    x, c = draw(pairs(dtype, kind))
    return Case(operation, "random", (x, c), draw(cotangents((len(x), len(c)))), {}, _flags(kind))


def _flags(kind: str) -> tuple[str, ...]:
    """The flags of a drawn case: "random", and the flag of its kind, which may have another name."""
    return (
        "random",
        {"infinite": "infinite-logit", "equal": "equal-distances", "exploded": "saturated"}.get(kind, kind),
    )


@st.composite
def _leaky_case(draw: Draw) -> Case:
    case = draw(_distance_case("leaky_squared_euclidean"))
    x, c = case.arguments
    per = draw(st.sampled_from(("pair", "coordinate")))
    with np.errstate(over="ignore"):
        squares = (x[:, None, :] - c[None]) ** 2
        distances = squares.sum(-1) if per == "pair" else squares
    threshold = draw(thresholds(distances))
    parameters = {"threshold": threshold, "slope": draw(slopes()), "per": per}
    return Case(case.operation, "random", (x, c), case.dy, parameters, case.flags)


@st.composite
def _restricted_case(draw: Draw) -> Case:
    if draw(st.booleans()):  # thresholds that lie on distances
        case = draw(_leaky_case())
        given = dict(case.parameters)
        parameters = {"per": given.pop("per"), "restriction": Leak(**given)}
    else:
        case = draw(_distance_case("squared_euclidean"))
        parameters = {"restriction": draw(restrictions()), "per": draw(st.sampled_from(("pair", "coordinate")))}
    return Case("restricted_squared_euclidean", "random", case.arguments, case.dy, parameters, case.flags)


@st.composite
def _log_softmax_case(draw: Draw) -> Case:
    kind = draw(st.sampled_from(LOGIT_KINDS))
    z = draw(logits(draw(DTYPES), kind))
    return Case("log_softmax", "random", (z,), draw(cotangents(z.shape)), {}, _flags(kind))


@st.composite
def _cross_entropy_case(draw: Draw) -> Case:
    kind = draw(st.sampled_from(LOGIT_KINDS))
    z = draw(logits(draw(DTYPES), kind))
    marks = draw(labels(*z.shape))
    marks = np.where(np.isfinite(z[np.arange(len(z)), marks]), marks, z.argmax(-1))  # an infinite loss is our own case
    return Case("cross_entropy", "random", (z, marks), draw(cotangents(())), {}, _flags(kind))


@st.composite
def _prototypes_case(draw: Draw) -> Case:
    marks = draw(support_labels(draw(st.integers(1, 4))))
    z = draw(arrays((len(marks), draw(st.integers(1, 5))), draw(DTYPES)))
    way = int(marks.max()) + 1
    return Case("prototypes", "random", (z, marks, way), draw(cotangents((way, z.shape[1]))), {}, ("random",))


@st.composite
def _prototypical_loss_case(draw: Draw) -> Case:
    episode = draw(episodes(draw(DTYPES)))
    return Case(
        "prototypical_loss", "random", episode, draw(cotangents(())), {"distance": draw(metrics())}, ("random",)
    )


@st.composite
def _distance_cross_entropy_case(draw: Draw) -> Case:
    c, _, x, _ = draw(episodes(draw(DTYPES)))
    call = (x, c, draw(labels(len(x), len(c))))
    return Case(
        "distance_cross_entropy", "random", call, draw(cotangents(())), {"distance": draw(metrics())}, ("random",)
    )


@st.composite
def _conv2d_case(draw: Draw) -> Case:
    dtype = draw(DTYPES)
    x = draw(images(dtype))
    w = draw(arrays((3, 3, x.shape[-1], draw(st.integers(1, 2))), dtype))
    return Case("conv2d", "random", (x, w), draw(cotangents((*x.shape[:3], w.shape[-1]))), {}, ("random",))


@st.composite
def _relu_case(draw: Draw) -> Case:
    x = draw(images(draw(DTYPES)))
    return Case("relu", "random", (x,), draw(cotangents(x.shape)), {}, ("random",))


@st.composite
def _max_pool2d_case(draw: Draw) -> Case:
    x = draw(images(draw(DTYPES), least=2))
    n, h, w, c = x.shape
    return Case("max_pool2d", "random", (x,), draw(cotangents((n, h // 2, w // 2, c))), {}, ("random",))


def _channels(draw: Draw, c: int, dtype: str) -> tuple[Array, Array]:
    return draw(arrays((c,), dtype)), draw(arrays((c,), dtype))


def _statistics(draw: Draw, c: int, dtype: str) -> tuple[Array, Array]:
    return draw(arrays((c,), dtype)), abs(draw(arrays((c,), dtype)))


@st.composite
def _batch_norm_case(draw: Draw, given: bool) -> Case:
    dtype = draw(DTYPES)
    x = draw(images(dtype, least=2, most=4))
    channels = _channels(draw, x.shape[-1], dtype) + (_statistics(draw, x.shape[-1], dtype) if given else ())
    operation = "batch_norm_inference" if given else "batch_norm"
    return Case(operation, "random", (x, *channels), draw(cotangents(x.shape)), {}, ("random",))


@st.composite
def _conv_block_case(draw: Draw, given: bool) -> Case:
    dtype = draw(DTYPES)
    x = draw(images(dtype, least=2, most=4))
    f = draw(st.integers(1, 2))
    w = draw(arrays((3, 3, x.shape[-1], f), dtype))
    channels = _channels(draw, f, dtype) + (_statistics(draw, f, dtype) if given else ())
    n, h, width, _ = x.shape
    operation = "conv_block_inference" if given else "conv_block"
    return Case(operation, "random", (x, w, *channels), draw(cotangents((n, h // 2, width // 2, f))), {}, ("random",))


_CASES: dict[str, Callable[[], st.SearchStrategy[Case]]] = {
    "squared_euclidean": lambda: _distance_case("squared_euclidean"),
    "leaky_squared_euclidean": _leaky_case,
    "restricted_squared_euclidean": _restricted_case,
    "euclidean": lambda: _distance_case("euclidean"),
    "cosine_distance": lambda: _distance_case("cosine_distance"),
    "prototypes": _prototypes_case,
    "log_softmax": _log_softmax_case,
    "cross_entropy": _cross_entropy_case,
    "prototypical_loss": _prototypical_loss_case,
    "distance_cross_entropy": _distance_cross_entropy_case,
    "conv2d": _conv2d_case,
    "relu": _relu_case,
    "max_pool2d": _max_pool2d_case,
    "batch_norm": lambda: _batch_norm_case(False),
    "batch_norm_inference": lambda: _batch_norm_case(True),
    "conv_block": lambda: _conv_block_case(False),
    "conv_block_inference": lambda: _conv_block_case(True),
}


def cases(operation: str) -> st.SearchStrategy[Case]:
    """Whole calls of a built-in operation: arguments, parameters, cotangent."""
    return _CASES[operation]()
