"""PyTorch: the broadcast difference, and the losses built on it."""

import torch
from torch.nn import functional


def squared_euclidean(x, c):
    return ((x[:, None, :] - c[None, :, :]) ** 2).sum(-1)


def leaky_squared_euclidean(x, c, *, threshold, slope, per="pair"):
    squares = (x[:, None, :] - c[None, :, :]) ** 2
    d = squares.sum(-1) if per == "pair" else squares
    restricted = torch.where(
        d <= threshold, d, slope * d + (threshold - slope * threshold if threshold < float("inf") else 0)
    )
    return restricted if per == "pair" else restricted.sum(-1)


def prototypes(z, labels, n_classes):
    return torch.stack([z[labels == j].mean(0) for j in range(n_classes)])


def prototypical_loss(support, support_labels, query, query_labels):
    centres = prototypes(support, support_labels, int(support_labels.max()) + 1)
    return functional.cross_entropy(-squared_euclidean(query, centres), query_labels)
