"""Embedding nets."""

from leakysm.nets.conv4 import Conv4

__all__ = ["Conv4"]
