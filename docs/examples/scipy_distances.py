"""SciPy's distances, which are always float64 and are rounded here to the arguments' dtype; and its log-softmax."""

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import log_softmax as scipy_log_softmax


def squared_euclidean(x, c):
    return cdist(x, c, "sqeuclidean").astype(x.dtype)


def euclidean(x, c):
    return cdist(x, c).astype(x.dtype)


def cosine_distance(x, c):
    return cdist(x, c, "cosine").astype(x.dtype)


def log_softmax(logits):
    return np.asarray(scipy_log_softmax(logits, axis=-1))
