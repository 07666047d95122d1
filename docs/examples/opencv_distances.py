"""OpenCV: batchDistance, which is float32."""

import cv2
import numpy as np

DTYPES = ("float32",)  # it computes in float32 whatever it is given


def _distance(x, c, kind):
    given = (np.ascontiguousarray(a, dtype=np.float32) for a in (x, c))
    return cv2.batchDistance(*given, cv2.CV_32F, normType=kind)[0].astype(x.dtype)


def squared_euclidean(x, c):
    return _distance(x, c, cv2.NORM_L2SQR)


def euclidean(x, c):
    return _distance(x, c, cv2.NORM_L2)
