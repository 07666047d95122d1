"""leakysm: the reference implementation of leaky squared Euclidean distance for one-shot classification."""

from importlib.metadata import version

from leakysm import ops
from leakysm.backends import backend
from leakysm.nets import Conv4
from leakysm.ops import *  # noqa: F403

__version__ = version("leakysm")

__all__ = ["Conv4", "__version__", "backend", *ops.__all__]
