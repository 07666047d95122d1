"""pynndescent: its compiled metrics, pair by pair."""

import numpy as np
from pynndescent import distances

DTYPES = ("float32",)  # it computes in float32 whatever it is given


def _pairs(metric, x, c):
    return np.array([[metric(p.copy(), q.copy()) for q in c] for p in x], dtype=x.dtype).reshape(len(x), len(c))


def squared_euclidean(x, c):
    return _pairs(distances.squared_euclidean, x, c)


def euclidean(x, c):
    return _pairs(distances.euclidean, x, c)


def cosine_distance(x, c):
    return _pairs(distances.cosine, x, c)
