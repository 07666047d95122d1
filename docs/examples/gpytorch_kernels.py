"""gpytorch: the distances that its kernels are made of."""

import torch
from gpytorch.kernels.kernel import dist, sq_dist


def squared_euclidean(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return sq_dist(x, c)


def euclidean(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return dist(x, c)
