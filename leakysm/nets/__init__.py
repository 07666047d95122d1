"""Embedding nets: `net` is the interface, and `conv4` the net of prototypical networks, with its initial weights."""

from leakysm.nets.conv4 import Conv4
from leakysm.nets.net import Net, require_embeddings, require_gradient, require_net

__all__ = ["Conv4", "Net", "require_embeddings", "require_gradient", "require_net"]
