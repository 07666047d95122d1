"""numkong: cdist, whose float64 results are rounded here to the arguments' dtype."""

import numkong
import numpy as np


def _cdist(x, c, metric):
    return np.asarray(numkong.cdist(np.ascontiguousarray(x), np.ascontiguousarray(c), metric=metric)).astype(x.dtype)


def squared_euclidean(x, c):
    return _cdist(x, c, "sqeuclidean")


def euclidean(x, c):
    return _cdist(x, c, "euclidean")


def cosine_distance(x, c):
    return _cdist(x, c, "angular")
