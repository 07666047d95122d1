"""Embedding nets."""

from leakysm.nets.conv4 import Conv4
from leakysm.nets.net import Net

__all__ = ["Conv4", "Net"]
