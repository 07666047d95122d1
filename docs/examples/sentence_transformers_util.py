"""sentence-transformers: cos_sim and euclidean_sim, which are the similarity of embeddings."""

import torch
from sentence_transformers.util import cos_sim, euclidean_sim


def euclidean(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return -euclidean_sim(x, c)


def cosine_distance(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return 1 - cos_sim(x, c)
