"""pytorch-metric-learning: LpDistance and CosineSimilarity, without their normalization."""

import torch
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance


def squared_euclidean(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return LpDistance(normalize_embeddings=False, power=2)(x, c)


def euclidean(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return LpDistance(normalize_embeddings=False)(x, c)


def cosine_distance(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return 1 - CosineSimilarity()(x, c)
