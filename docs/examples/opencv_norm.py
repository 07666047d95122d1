"""OpenCV: cv2.norm, pair by pair; its float64 results are rounded here to the arguments' dtype."""

import cv2
import numpy as np


def _pairs(x, c, kind):
    x, c = np.ascontiguousarray(x), np.ascontiguousarray(c)
    return np.array([[cv2.norm(p, q, kind) for q in c] for p in x], dtype=x.dtype).reshape(len(x), len(c))


def squared_euclidean(x, c):
    return _pairs(x, c, cv2.NORM_L2SQR)


def euclidean(x, c):
    return _pairs(x, c, cv2.NORM_L2)
