"""kornia: the distances of its descriptor matching, seen through match_nn's own routine."""

import torch
from kornia.feature.matching import _cdist


def euclidean(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return _cdist(x, c)
