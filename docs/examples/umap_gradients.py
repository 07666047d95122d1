"""umap-learn: its compiled metrics with their gradients by the first point, pair by pair."""

import numpy as np
from umap import distances

DTYPES = ("float32",)  # it computes in float32 whatever it is given


def _value(metric, x, c):
    return np.array([[metric(p.copy(), q.copy()) for q in c] for p in x], dtype=x.dtype).reshape(len(x), len(c))


def _vjp(metric, x, c, dy):
    """The metrics are symmetric, so the gradient by the second point is that of the swapped pair."""
    dx = [
        sum(w * metric(p.copy(), q.copy())[1] for q, w in zip(c, row, strict=True))
        for p, row in zip(x, dy, strict=True)
    ]
    dc = [
        sum(w * metric(q.copy(), p.copy())[1] for p, w in zip(x, row, strict=True))
        for q, row in zip(c, dy.T, strict=True)
    ]
    return np.array(dx, dtype=x.dtype).reshape(x.shape), np.array(dc, dtype=x.dtype).reshape(c.shape)


def euclidean(x, c):
    return _value(distances.euclidean, x, c)


def euclidean_vjp(x, c, dy):
    return _vjp(distances.euclidean_grad, x, c, dy)


def cosine_distance(x, c):
    return _value(distances.cosine, x, c)


def cosine_distance_vjp(x, c, dy):
    return _vjp(distances.cosine_grad, x, c, dy)
