"""The entries of the package's own operations: one each. Importing this module registers them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from leakysm.verify import registry
from leakysm.verify.bounds import Sizes
from leakysm.verify.case import Case
from leakysm.verify.cases import alike as alike_cases
from leakysm.verify.cases import batches as batch_cases
from leakysm.verify.cases import contrasts as contrast_cases
from leakysm.verify.cases import coordinates as coordinate_cases
from leakysm.verify.cases import corners as corner_cases
from leakysm.verify.cases import cotangents as cotangent_cases
from leakysm.verify.cases import crowds as crowd_cases
from leakysm.verify.cases import distances as pair_cases
from leakysm.verify.cases import episode as episode_cases
from leakysm.verify.cases import equal as equal_cases
from leakysm.verify.cases import images as image_cases
from leakysm.verify.cases import loss as loss_cases
from leakysm.verify.cases import magnitudes as magnitude_cases
from leakysm.verify.cases import medleys as medley_cases
from leakysm.verify.cases import one_number as one_number_cases
from leakysm.verify.cases import own_class as own_class_cases
from leakysm.verify.cases import patterns as pattern_cases
from leakysm.verify.cases import rare as rare_cases
from leakysm.verify.cases import restricted as restricted_cases
from leakysm.verify.cases import sizes as size_cases
from leakysm.verify.oracle import block, convolution, distances, episode, loss, normalization, restricted
from leakysm.verify.registry import Entry
from leakysm.verify.table import BOUNDS, CHOICES, RESTRICTIONS


def _enter(
    operation: str,
    oracle: dict[str, Any],
    cases: Callable[[], Sequence[Case]],
    sizes: Callable[..., Sizes],
    **promises: Any,
) -> None:
    def strategy() -> Any:
        from leakysm.verify import strategies

        return strategies.cases(operation)

    def all_cases() -> Sequence[Case]:
        ordinary = cases()
        varied = [
            *equal_cases.of(ordinary),
            *cotangent_cases.of(ordinary),
            *magnitude_cases.of(operation, ordinary),
            *contrast_cases.of(operation, ordinary),
            *rare_cases.of(operation, ordinary),
            *pattern_cases.of(operation, ordinary),
            *crowd_cases.of(operation, ordinary),
            *batch_cases.of(operation, ordinary),
            *alike_cases.of(operation, ordinary),
            *medley_cases.of(operation, ordinary),
            *own_class_cases.of(operation, ordinary),
        ]
        varied += coordinate_cases.of(varied)
        large = size_cases.of(operation)
        return [*ordinary, *varied, *corner_cases.of(operation), *large, *one_number_cases.of(large)]

    choice = CHOICES.get(operation)
    entry = Entry(
        operation,
        bounds=BOUNDS[operation],
        sizes=sizes,
        cases=all_cases,
        strategy=strategy,
        choice=choice,
        **(oracle | promises),
    )
    registry.register(entry)


def _module(module: Any, operation: str) -> dict[str, Any]:
    return {"value": getattr(module, operation), "vjp": getattr(module, operation + "_vjp")}


class _LastCall:
    """Calls `build`, and returns the last result again if the arguments are the same objects and parameters are equal.

    A case's value, gradients and open choices are asked for one after the other and share these steps.
    """

    def __init__(self, build: Callable[..., Any]):
        self.build = build
        self.arguments: tuple[Any, ...] | None = None
        self.parameters: dict[str, Any] = {}
        self.steps: Any = None

    def __call__(self, *arguments: Any, **parameters: Any) -> Any:
        if not self._is_same(arguments) or self.parameters != parameters:
            self.steps = self.build(*arguments, **parameters)
            self.arguments, self.parameters = arguments, parameters
        return self.steps

    def _is_same(self, arguments: tuple[Any, ...]) -> bool:
        before = self.arguments
        return before is not None and len(before) == len(arguments) and all(map(operator.is_, before, arguments))


def _oracle(
    kind: Callable[..., Any],
    value: Callable[..., Any],
    vjp: Callable[..., Any],
    open_gradients: Callable[..., Any] = lambda *_: None,
) -> dict[str, Any]:
    """The functions of an `Entry`, from functions of an object o that holds the steps of a call: value(o), vjp(o, dy)
    and open_gradients(o, dy, doubt). kind(*arguments, **parameters) makes o."""
    steps = _LastCall(kind)

    def all_gradients(*arguments: Any, **parameters: Any) -> Any:
        options = {"only": parameters.pop("only")} if "only" in parameters else {}
        return vjp(steps(*arguments[:-1], **parameters), arguments[-1], **options)

    return {
        "value": lambda *arguments, **parameters: value(steps(*arguments, **parameters)),
        "vjp": all_gradients,
        "open_gradients": lambda doubt, *arguments, **parameters: open_gradients(
            steps(*arguments[:-1], **parameters), arguments[-1], doubt
        ),
    }


def _metric(operation: str) -> dict[str, Any]:
    return _oracle(restricted.METRICS[operation], distances.value, distances.vjp, distances.open_gradients)


def _pair_sizes(x: Any, c: Any, *, per: str = "pair", **_: Any) -> dict[str, float | str]:
    width = x.shape[1]
    return {"N": x.shape[0], "M": c.shape[0], "D": width, "T": width if per == "pair" else 1}


def _restricted_sizes(x: Any, c: Any, *, restriction: Any, per: str = "pair") -> dict[str, float | str]:
    return _pair_sizes(x, c, per=per) | _of_restriction(restriction)


def _of_restriction(restriction: Any) -> dict[str, str]:
    """V, J: the roundings of the restriction's value and of its derivative."""
    return dict(zip("VJ", RESTRICTIONS[type(restriction).__name__], strict=True))


def _restricted_twin(*, restriction: Any, **_: Any) -> str | None:
    """A leak without an effect at any distance is squared Euclidean."""
    leak = "slope" in restriction.parameters
    return "squared_euclidean" if leak and (restriction.slope == 1 or np.isinf(restriction.threshold)) else None


def _row_sizes(logits: Any, labels: Any = None) -> dict[str, int]:
    return {"N": logits.shape[0], "M": logits.shape[1]}


def _shots(labels: Any) -> int:
    return int(np.bincount(labels).max()) if len(labels) else 1


def _shot_sizes(z: Any, labels: Any, n_classes: int) -> dict[str, int]:
    return {"K": _shots(labels)}


def _episode_sizes(s: Any, sl: Any, q: Any, ql: Any, *, distance: Any) -> dict[str, float | str]:
    return {"K": _shots(sl), **_loss_sizes(len(q), int(sl.max()) + 1, s.shape[1], distance)}


def _queries_sizes(x: Any, c: Any, labels: Any, *, distance: Any) -> dict[str, float | str]:
    return _loss_sizes(len(x), len(c), x.shape[1], distance)


def _loss_sizes(queries: int, classes: int, width: int, distance: Any) -> dict[str, float | str]:
    """Sizes of a loss on distances. R, RX, RC: the roundings of the metric's y, dx and dc."""
    bounds = BOUNDS[distance.operation or "squared_euclidean"]  # of which the own class of a case takes half
    restriction = distance.parameters.get("restriction")
    return {
        "D": width,
        "T": width if distance.parameters.get("per", "pair") == "pair" else 1,
        "M": classes,
        "Q": queries,
        "N": queries,
        **({} if restriction is None else _of_restriction(restriction)),
        "R": bounds["y"].roundings,
        "RX": bounds["dx"].roundings,
        "RC": bounds["dc"].roundings,
    }


def _convolution_sizes(x: Any, w: Any, *_: Any, **__: Any) -> dict[str, int]:
    n, h, width, c = x.shape
    return {"N": n, "H": h, "W": width, "C": c, "F": w.shape[-1], "n": n * h * width}


def _channel_sizes(x: Any, *_: Any, **__: Any) -> dict[str, int]:
    return {"n": x.size // max([1, *x.shape[-1:]])}


for _operation in ("squared_euclidean", "euclidean", "cosine_distance"):
    _enter(_operation, _metric(_operation), partial(pair_cases.distance_cases, _operation), _pair_sizes)
_enter(
    "leaky_squared_euclidean",
    _metric("leaky_squared_euclidean"),
    pair_cases.leaky_cases,
    _pair_sizes,
    twin=lambda *, threshold, slope, **_: "squared_euclidean" if slope == 1 or np.isinf(threshold) else None,
)
_enter(
    "restricted_squared_euclidean",
    _metric("restricted_squared_euclidean"),
    restricted_cases.restricted_cases,
    _restricted_sizes,
    twin=_restricted_twin,
)
_enter("prototypes", _module(episode, "prototypes"), episode_cases.prototypes_cases, _shot_sizes)
_enter(
    "log_softmax",
    _oracle(loss.Softmax, loss.log_softmax, loss.log_softmax_vjp),
    loss_cases.log_softmax_cases,
    _row_sizes,
)
_enter(
    "cross_entropy",
    _oracle(loss.LabelledSoftmax, loss.cross_entropy, loss.cross_entropy_vjp),
    loss_cases.cross_entropy_cases,
    _row_sizes,
)
_enter(
    "prototypical_loss",
    _oracle(episode.Episode, episode.queries_loss, episode.prototypical_loss_vjp, episode.open_gradients),
    episode_cases.prototypical_loss_cases,
    _episode_sizes,
)
_enter(
    "distance_cross_entropy",
    _oracle(episode.Queries, episode.queries_loss, episode.distance_cross_entropy_vjp, episode.open_gradients_of_pairs),
    episode_cases.distance_cross_entropy_cases,
    _queries_sizes,
)
_enter("conv2d", _module(convolution, "conv2d"), image_cases.conv2d_cases, _convolution_sizes)
_enter("relu", _module(convolution, "relu"), image_cases.relu_cases, _channel_sizes)
_enter("max_pool2d", _module(convolution, "max_pool2d"), image_cases.max_pool2d_cases, _channel_sizes)
for _operation, _cases in (
    ("batch_norm", image_cases.batch_norm_cases),
    ("batch_norm_inference", image_cases.batch_norm_inference_cases),
):
    _enter(_operation, _module(normalization, _operation), _cases, _channel_sizes)
for _operation, _kind, _cases in (
    ("conv_block", block.TrainingBlock, image_cases.conv_block_cases),
    ("conv_block_inference", block.InferenceBlock, image_cases.conv_block_inference_cases),
):
    _enter(_operation, _oracle(_kind, _kind.value, _kind.vjp, block.open_gradients), _cases, _convolution_sizes)
