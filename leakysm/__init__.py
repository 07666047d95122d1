"""leakysm: the reference implementation of leaky squared Euclidean distance for one-shot classification."""

from leakysm import ops
from leakysm.backends import backend
from leakysm.nets import Conv4
from leakysm.ops import *  # noqa: F403

__all__ = ["Conv4", "backend", *ops.__all__]
