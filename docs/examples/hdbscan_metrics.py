"""hdbscan: its DistanceMetric, which is float64 and is rounded here to the arguments' dtype."""

import numpy as np
from hdbscan.dist_metrics import DistanceMetric


def euclidean(x, c):
    given = np.array(x, dtype=np.float64), np.array(c, dtype=np.float64)
    return DistanceMetric.get_metric("euclidean").pairwise(*given).astype(x.dtype)
