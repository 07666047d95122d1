"""geomloss: the costs of its losses; the distance is cut off from below at 1e-4."""

import torch
from geomloss._legacy import utils


def squared_euclidean(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return utils.squared_distances(x, c)


def euclidean(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return utils.distances(x, c)
