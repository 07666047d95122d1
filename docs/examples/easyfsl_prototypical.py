"""easyfsl: prototypes, and the scores of PrototypicalNetworks, which are negative Euclidean distances."""

import torch
from easyfsl.methods import PrototypicalNetworks
from easyfsl.methods.utils import compute_prototypes


def prototypes(z, labels, n_classes):
    return compute_prototypes(z, labels)


def euclidean(x, c):
    net = PrototypicalNetworks(torch.nn.Identity())
    net.process_support_set(c, torch.arange(len(c)))
    return -net(x)
