"""POT: ot.dist, on NumPy arrays."""

import ot


def squared_euclidean(x, c):
    return ot.dist(x, c)


def euclidean(x, c):
    return ot.dist(x, c, metric="euclidean")


def cosine_distance(x, c):
    return ot.dist(x, c, metric="cosine")
