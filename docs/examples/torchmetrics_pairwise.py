"""torchmetrics: pairwise Euclidean distance and cosine similarity."""

import torch
from torchmetrics.functional.pairwise import pairwise_cosine_similarity, pairwise_euclidean_distance


def euclidean(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return pairwise_euclidean_distance(x, c)


def cosine_distance(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return 1 - pairwise_cosine_similarity(x, c)
