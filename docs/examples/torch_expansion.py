"""PyTorch: squared Euclidean distance by the matrix-product expansion |x|^2 - 2 x.c + |c|^2."""

import torch


def squared_euclidean(x, c):
    return torch.sum(x**2, 1)[:, None] - 2 * torch.matmul(x, c.T) + torch.sum(c**2, 1)[None, :]
