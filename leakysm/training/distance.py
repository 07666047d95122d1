"""A metric's distances on an engine: by the engine's operation, or, for a user's own metric, by calling it."""

from __future__ import annotations

from functools import partial

from leakysm.backends.protocol import Engine, Pair
from leakysm.ops.metrics import Metric


def distance_pair(engine: Engine, metric: Metric) -> Pair:
    """forward(x, c) -> distances (N, M), saved; backward(saved, dy) -> dx, dc. x (N, D), c (M, D)."""
    if not metric.is_operation:
        return Pair(lambda x, c: (metric(x, c), (x, c)), lambda saved, dy: metric.vjp(saved[0], saved[1], dy))
    pair = engine.operation(metric.operation)
    return Pair(partial(pair.forward, **metric.parameters), pair.backward)
