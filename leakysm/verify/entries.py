"""The entries of the package's own operations: one each. Importing this module registers them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

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
    **promises: Any,
) -> None:
    def strategy() -> Any:
        from leakysm.verify import strategies

        return strategies.cases(operation)

    value, vjp, *choices = oracle
    registry.register(Entry(operation, value, vjp, BOUNDS[operation], sizes, cases, strategy, *choices, **promises))


def _module(module: Any, operation: str) -> tuple[Any, Any]:
    return getattr(module, operation), getattr(module, operation + "_vjp")


def _remembered(build: Callable[..., Any]) -> Callable[..., Any]:
    """build, giving the same object again for the arguments it had last: value, vjp and choices share the work."""
    last: list[Any] = [None, None, None]

    def latest(*arguments: Any, **parameters: Any) -> Any:
        known = last[0] is not None and len(last[0]) == len(arguments) and all(map(operator.is_, last[0], arguments))
        if not known or last[1] != parameters:
            last[:] = arguments, parameters, build(*arguments, **parameters)
        return last[2]

    return latest


def _metric(operation: str) -> tuple[Any, Any, Any]:
    metric = _remembered(distances.METRICS[operation])

    def value(x: Any, c: Any, **parameters: Any) -> tuple[Exact, ...]:
        return distances.value(metric(x, c, **parameters))

    def vjp(x: Any, c: Any, dy: Any, *, within: Any = None, **parameters: Any) -> tuple[Exact, ...]:
        found = metric(x, c, **parameters)
        return distances.vjp(found if within is None else found.choosing(within), dy)

    def choices(tolerance: float, floor: float, x: Any, c: Any, **parameters: Any) -> list[dict[str, Any]]:
        return [{"within": within} for within in metric(x, c, **parameters).open_choices(tolerance, floor)]

    return value, vjp, choices


def _episode() -> tuple[Any, Any, Any]:
    steps = _remembered(episode.Episode)

    def value(*arguments: Any, distance: Any) -> tuple[Exact, ...]:
        return episode.prototypical_loss(steps(*arguments, distance=distance))

    def vjp(s: Any, sl: Any, q: Any, ql: Any, dy: Any = 1.0, *, distance: Any, within: Any = None) -> tuple[Exact, ...]:
        return episode.prototypical_loss_vjp(steps(s, sl, q, ql, distance=distance), dy, within=within)

    def choices(tolerance: float, floor: float, *arguments: Any, distance: Any) -> list[dict[str, Any]]:
        if distance.operation != "leaky_squared_euclidean":
            return [{}]
        found = steps(*arguments, distance=distance)
        return [{"within": within} for within in found.metric.open_choices(tolerance, floor, found.spread)]

    return value, vjp, choices


def _block(kind: Callable[..., Any]) -> tuple[Any, Any, Any]:
    steps = _remembered(kind)

    def value(*arguments: Any, **parameters: Any) -> tuple[Exact, ...]:
        return cast("tuple[Exact, ...]", steps(*arguments, **parameters).value())

    def vjp(*arguments: Any, route: Any = None, **parameters: Any) -> tuple[Exact, ...]:
        return cast("tuple[Exact, ...]", steps(*arguments[:-1], **parameters).vjp(arguments[-1], route))

    def choices(tolerance: float, floor: float, *arguments: Any, **parameters: Any) -> list[dict[str, Any]]:
        routes = block.open_routes(steps(*arguments, **parameters), tolerance, floor)
        return [{"route": route} for route in routes]

    return value, vjp, choices


def _pair_sizes(x: Any, c: Any, **_: Any) -> dict[str, int]:
    return {"N": x.shape[0], "M": c.shape[0], "D": x.shape[1]}


def _row_sizes(logits: Any, labels: Any = None) -> dict[str, int]:
    return {"N": logits.shape[0], "M": logits.shape[1]}


def _shots(labels: Any) -> int:
    return int(np.bincount(labels).max()) if len(labels) else 1


def _shot_sizes(z: Any, labels: Any, n_classes: int) -> dict[str, int]:
    return {"K": _shots(labels)}


def _episode_sizes(s: Any, sl: Any, q: Any, ql: Any, **_: Any) -> dict[str, int]:
    return {"K": _shots(sl), "D": s.shape[1], "M": int(sl.max()) + 1, "Q": q.shape[0]}


def _convolution_sizes(x: Any, w: Any, *_: Any, **__: Any) -> dict[str, int]:
    n, h, width, c = x.shape
    return {"N": n, "H": h, "W": width, "C": c, "F": w.shape[-1], "n": n * h * width}


def _channel_sizes(x: Any, *_: Any, **__: Any) -> dict[str, int]:
    return {"n": x.size // max(x.shape[-1], 1)}


for _operation in ("squared_euclidean", "euclidean", "cosine_distance"):
    _enter(_operation, _metric(_operation)[:2], partial(pair_cases.distance_cases, _operation), _pair_sizes)
_enter(
    "leaky_squared_euclidean",
    _metric("leaky_squared_euclidean"),
    pair_cases.leaky_cases,
    _pair_sizes,
    twin=lambda *, threshold, slope, **_: "squared_euclidean" if slope == 1 or np.isinf(threshold) else None,
)
_enter("prototypes", _module(episode, "prototypes"), episode_cases.prototypes_cases, _shot_sizes)
_enter("log_softmax", _module(loss, "log_softmax"), loss_cases.log_softmax_cases, _row_sizes)
_enter("cross_entropy", _module(loss, "cross_entropy"), loss_cases.cross_entropy_cases, _row_sizes)
_enter("prototypical_loss", _episode(), episode_cases.prototypical_loss_cases, _episode_sizes)
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
_enter("conv_block", _block(block.Training), image_cases.conv_block_cases, _convolution_sizes)
_enter("conv_block_inference", _block(block.Inference), image_cases.conv_block_inference_cases, _convolution_sizes)
