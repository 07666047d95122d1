"""scikit-learn's distances: values only."""

from sklearn.metrics.pairwise import cosine_distances, euclidean_distances


def squared_euclidean(x, c):
    return euclidean_distances(x, c, squared=True)


def euclidean(x, c):
    return euclidean_distances(x, c)


def cosine_distance(x, c):
    return cosine_distances(x, c)
