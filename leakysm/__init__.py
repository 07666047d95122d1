"""leakysm: the reference implementation of leaky squared Euclidean distance for one-shot classification."""

from leakysm.ops import *  # noqa: F403
