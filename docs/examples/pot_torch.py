"""POT: ot.dist on torch tensors, with gradients."""

import ot
import torch


def squared_euclidean(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return ot.dist(x, c)


def euclidean(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return ot.dist(x, c, metric="euclidean")


def cosine_distance(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return ot.dist(x, c, metric="cosine")
