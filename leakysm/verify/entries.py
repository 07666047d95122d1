"""The entries of the package's own operations: one each. Importing this module registers them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from leakysm.verify import registry
from leakysm.verify.bounds import Exact
from leakysm.verify.cases import distances as pair_cases
from leakysm.verify.cases import episode as episode_cases
from leakysm.verify.cases import images as image_cases
from leakysm.verify.cases import loss as loss_cases
from leakysm.verify.oracle import block, convolution, distances, episode, loss, normalization
from leakysm.verify.registry import Case, Entry
from leakysm.verify.table import BOUNDS


def _enter(
    operation: str,
    oracle: Any,
    cases: Callable[[], Sequence[Case]],
    sizes: Callable[..., Mapping[str, int]],
    **more: Any,
) -> None:
    def strategy() -> Any:
        from leakysm.verify import strategies

        return strategies.cases(operation)

    value, vjp = oracle
    registry.register(Entry(operation, value, vjp, BOUNDS[operation], sizes, cases, strategy, **more))


def _module(module: Any, operation: str) -> tuple[Any, Any]:
    return getattr(module, operation), getattr(module, operation + "_vjp")


def _metric(operation: str) -> tuple[Any, Any]:
    kind = distances.METRICS[operation]

    def value(x: Any, c: Any, **parameters: Any) -> tuple[Exact, ...]:
        return distances.value(kind(x, c, **parameters))

    def vjp(x: Any, c: Any, dy: Any, **parameters: Any) -> tuple[Exact, ...]:
        return distances.vjp(kind(x, c, **parameters), dy)

    return value, vjp


def _pair_sizes(x: Any, c: Any, **_: Any) -> dict[str, int]:
    return {"N": x.shape[0], "M": c.shape[0], "D": x.shape[1]}


def _leaky_choices(tolerance: float, floor: float, x: Any, c: Any, **parameters: Any) -> list[dict[str, Any]]:
    metric = distances.LeakySquaredEuclidean(x, c, **parameters)
    return [{"within": within} for within in metric.open_choices(tolerance, floor)]


def _loss_choices(
    tolerance: float, floor: float, s: Any, sl: Any, q: Any, ql: Any, *, distance: Any
) -> list[dict[str, Any]]:
    if distance.operation != "leaky_squared_euclidean":
        return [{}]
    steps = episode.Episode(s, sl, q, ql, distance, None)
    return [{"within": within} for within in steps.metric.open_choices(tolerance, floor, steps.spread)]


def _block_choices(tolerance: float, floor: float, *arguments: Any, eps: float = 1e-5) -> list[dict[str, Any]]:
    kind: Any = block.Training if len(arguments) == 4 else block.Inference
    return [{"route": route} for route in block.open_routes(kind(*arguments, eps), tolerance, floor)]


def _row_sizes(logits: Any, labels: Any = None) -> dict[str, int]:
    return {"N": logits.shape[0], "M": logits.shape[1]}


def _shots(labels: Any) -> int:
    return int(np.bincount(labels).max()) if len(labels) else 1


def _episode_sizes(s: Any, sl: Any, q: Any, ql: Any, **_: Any) -> dict[str, int]:
    return {"K": _shots(sl), "D": s.shape[1], "M": int(sl.max()) + 1, "Q": q.shape[0]}


def _convolution_sizes(x: Any, w: Any, *_: Any, **__: Any) -> dict[str, int]:
    n, h, width, c = x.shape
    return {"N": n, "H": h, "W": width, "C": c, "F": w.shape[-1], "n": n * h * width}


def _channel_sizes(x: Any, *_: Any, **__: Any) -> dict[str, int]:
    return {"n": x.size // max(x.shape[-1], 1)}


for _operation in ("squared_euclidean", "euclidean", "cosine_distance"):
    _enter(_operation, _metric(_operation), partial(pair_cases.distance_cases, _operation), _pair_sizes)
_enter(
    "leaky_squared_euclidean",
    _metric("leaky_squared_euclidean"),
    pair_cases.leaky_cases,
    _pair_sizes,
    choices=_leaky_choices,
)
_enter(
    "prototypes",
    _module(episode, "prototypes"),
    episode_cases.prototypes_cases,
    lambda z, labels, n: {"K": _shots(labels)},
)
_enter("log_softmax", _module(loss, "log_softmax"), loss_cases.log_softmax_cases, _row_sizes)
_enter("cross_entropy", _module(loss, "cross_entropy"), loss_cases.cross_entropy_cases, _row_sizes)
_enter(
    "prototypical_loss",
    _module(episode, "prototypical_loss"),
    episode_cases.prototypical_loss_cases,
    _episode_sizes,
    choices=_loss_choices,
)
_enter("conv2d", _module(convolution, "conv2d"), image_cases.conv2d_cases, _convolution_sizes)
_enter("batch_norm", _module(normalization, "batch_norm"), image_cases.batch_norm_cases, _channel_sizes)
_enter(
    "batch_norm_inference",
    _module(normalization, "batch_norm_inference"),
    image_cases.batch_norm_inference_cases,
    _channel_sizes,
)
_enter("relu", _module(convolution, "relu"), image_cases.relu_cases, _channel_sizes)
_enter("max_pool2d", _module(convolution, "max_pool2d"), image_cases.max_pool2d_cases, _channel_sizes)
_enter(
    "conv_block", _module(block, "conv_block"), image_cases.conv_block_cases, _convolution_sizes, choices=_block_choices
)
_enter(
    "conv_block_inference",
    _module(block, "conv_block_inference"),
    image_cases.conv_block_inference_cases,
    _convolution_sizes,
    choices=_block_choices,
)
