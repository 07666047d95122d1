"""Whole-net cases: Conv4's weights, an episode of images, embeddings, distances, loss, every parameter's gradient.

Two nets times two metrics. `small`: 4 channels, 16x16 images, in 50-digit arithmetic. `full`: 64 channels, 28x28
images, too much for that, so computed by the reference operations in float64, with a stated bound, and marked so. The
scale of every array is its largest magnitude; k is measured, with a margin of 8 and more: what rounding comes to on its
way through four blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakysm.ops.metrics import LeakySquaredEuclidean, Metric, SquaredEuclidean
from leakysm.ops.prototypes import prototypes
from leakysm.ops.prototypical_loss import prototypical_loss, prototypical_loss_vjp
from leakysm.strict_json import json_text
from leakysm.verify.adapters.engine import Engine
from leakysm.verify.bounds import Floats
from leakysm.verify.cases.numbers import cyclic, noise, single
from leakysm.verify.oracle.net import training_pass
from leakysm.verify.precise import rounded
from leakysm.verify.vectors import rule
from leakysm.verify.vectors.parameters import plain
from leakysm.verify.vectors.stored import Group

METRICS: dict[str, Metric] = {"squared": SquaredEuclidean(), "leaky": LeakySquaredEuclidean(threshold=1.0, slope=0.1)}
# Measured, error / (eps * scale) of the numpy and reference engines in float32 and float64: at most 32 and 330.
K = {"small": 400.0, "full": 4000.0}
WAY = 3


@dataclass(frozen=True)
class Net:
    """One net and its episode. images (2 WAY, H, W, 1): a support image of each class, then a query image of each."""

    parameters: dict[str, Floats]
    images: Floats
    labels: Any

    @property
    def channels(self) -> int:
        return int(self.parameters["block1.scale"].size)


def net(size: str) -> Net:
    """The small or the full net: weights and images are keyed noise, representable in float32."""
    channels, side = (4, 16) if size == "small" else (64, 28)
    parameters: dict[str, Floats] = {}
    for b in range(1, 5):
        shape = (3, 3, 1 if b == 1 else channels, channels)
        spread = np.sqrt(6 / (9 * channels))  # the uniform numbers of Kaiming's deviation
        parameters[f"block{b}.weight"] = single(noise(f"net {size} {b} weight", *shape) * spread)
        parameters[f"block{b}.scale"] = single(1 + noise(f"net {size} {b} scale", channels) / 4)
        parameters[f"block{b}.shift"] = single(noise(f"net {size} {b} shift", channels) / 4)
    images = (noise(f"net {size} images", 2 * WAY, side, side, 1, bits=8) + 1) / 2
    return Net(parameters, images, cyclic(WAY, WAY))


Results = dict[str, Floats]
NetClass = Callable[..., Any]  # leakysm.Conv4: it is handed in, for verification imports no nets


def exact_results(case: Net, metric: Metric) -> tuple[Results, float]:
    """Embeddings, distances, loss and gradients in 50 digits, rounded; and the margin of the discrete choices."""
    exact = training_pass(case.parameters, case.images, case.labels, case.labels, metric)
    arrays = {"embeddings": exact.embeddings, "distances": exact.distances, "loss": exact.loss}
    arrays |= {f"gradients/{name}": gradient for name, gradient in exact.gradients.items()}
    return {name: rounded(array) for name, array in arrays.items()}, exact.margin


def computed_results(case: Net, metric: Metric, engine: Engine, dtype: str, net_class: NetClass) -> Results:
    """Embeddings, distances, loss and gradients by a net of this class on an engine, in a dtype."""
    conv4 = net_class(1, channels=case.channels, dtype=dtype, engine=engine)
    conv4.load_state({**{k: v.astype(dtype) for k, v in case.parameters.items()}, **_running(case.channels, dtype)})
    z, saved = conv4.forward(engine.asarray(case.images.astype(dtype)))
    s, q = z[:WAY], z[WAY:]
    loss = prototypical_loss(s, case.labels, q, case.labels, distance=metric)
    ds, dq = prototypical_loss_vjp(s, case.labels, q, case.labels, distance=metric)
    gradient = conv4.backward(saved, engine.xp.concatenate([ds, dq]))
    arrays = {"embeddings": z, "distances": metric(q, prototypes(s, case.labels, WAY)), "loss": loss}
    arrays |= {f"gradients/{name}": part for name, part in conv4.parts(gradient).items()}
    return {name: np.asarray(engine.to_host(array)).astype(np.float64) for name, array in arrays.items()}


def _running(channels: int, dtype: str) -> dict[str, Any]:
    statistics = {"mean": np.zeros, "variance": np.ones}
    return {f"block{b}.{name}": make(channels, dtype) for b in range(1, 5) for name, make in statistics.items()}


def groups(shipped: Mapping[str, Group], reference: Engine, net_class: NetClass) -> tuple[dict[str, Group], list[str]]:
    """All whole-net cases, the full ones by the reference engine, and the names of those that are the shipped ones.

    A float64 case within its bound of the shipped one is the shipped one.
    """
    made, within = {}, []
    for name, metric in METRICS.items():
        results, margin = exact_results(net("small"), metric)
        made[f"conv4/small-{name}"] = _group(net("small"), metric, results, "small", {"margin": repr(margin)})
        case = f"conv4/full-{name}"
        results = computed_results(net("full"), metric, reference, "float64", net_class)
        made[case] = _group(net("full"), metric, results, "full", {})
        if case in shipped and not rule.failures(shipped[case], "value", results, "float64"):
            made[case] = shipped[case]
            within.append(case)
    return made, within


def _group(case: Net, metric: Metric, results: Results, size: str, more: dict[str, str]) -> Group:
    exact = size == "small"
    group = Group(
        contents={"parameters": json_text({"distance": plain(metric)}, sort_keys=True), "one_way": ""},
        description={
            "arithmetic": "50 digits" if exact else "float64",
            "flags": "plain",
            "own": "false",
            "note": f"Conv4 with {case.channels} channels, {WAY}-way 1-shot, one query a class",
            "dtypes": "float32,float64",
            **more,
        },
    )
    group.arrays = {f"arguments/{name}": array for name, array in case.parameters.items()}
    group.arrays |= {"arguments/images": case.images, "arguments/support_labels": case.labels}
    group.arrays |= {"arguments/query_labels": case.labels}
    for name, array in results.items():
        group.arrays[f"value/{name}/expected"] = array
        group.arrays[f"value/{name}/scale"] = np.asarray(np.abs(array).max())
        group.arrays[f"value/{name}/under"] = np.asarray(0.0)
        group.arrays |= {f"value/{name}/{severity}": np.asarray(K[size]) for severity in ("worst", "usual")}
    return group
