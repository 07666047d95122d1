"""How pixels become a net's input. Training, prediction, export and every test of a net share this value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = Any  # of NumPy or CuPy


@dataclass(frozen=True, eq=False)
class InputFormat:
    """The images that a net takes, uint8 (n, H, W, C), and how their pixels become floats.

    mean, std: (C,) float32; NumPy arrays, or CuPy's for images on a GPU. image_shape: (H, W, C).
    ink: dark strokes on light paper are stored as 255 - grey, as Omniglot's are.
    """

    mean: Array
    std: Array
    image_shape: tuple[int, int, int]
    ink: bool = False

    @classmethod
    def unscaled(cls, image_shape: tuple[int, int, int], *, ink: bool = False) -> InputFormat:
        """Pixels divided by 255 and nothing more."""
        channels = image_shape[2]
        return cls(np.zeros(channels, np.float32), np.ones(channels, np.float32), image_shape, ink)

    @classmethod
    def normalising(cls, images: NDArray[np.uint8]) -> InputFormat:
        """Pixels scaled so that each channel of these images (n, H, W, C) has mean 0 and deviation 1."""
        height, width, channels = images.shape[1:]
        return cls(*channel_moments(images), (height, width, channels))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> InputFormat:
        """The format that `to_arrays` wrote."""
        height, width, channels = (int(length) for length in arrays["image_shape"])
        return cls(arrays["mean"], arrays["std"], (height, width, channels), bool(arrays["ink"]))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """image_shape (3,) int64, mean and std (C,) float32, ink () bool: what a checkpoint stores."""
        values = {"image_shape": self.image_shape, "mean": self.mean, "std": self.std, "ink": self.ink}
        return {name: np.asarray(value) for name, value in values.items()}

    def to_float(self, images: Array) -> Array:
        """(images / 255 - mean) / std in float32, any leading shape, channels last."""
        pixels = np.divide(images, np.float32(255), dtype=np.float32)
        if self.mean.any():
            pixels -= self.mean
        if (self.std != 1).any():
            pixels /= self.std
        return pixels


def channel_moments(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and (biased) deviation of each channel of images / 255, both (C,) float32; 1 for a constant channel.

    The sums are exact integers: the same bits on every machine.
    """
    n, height, width, channels = images.shape
    sums = np.zeros((2, height * width * channels), np.int64)
    for start in range(0, n, 256):
        chunk = images[start : start + 256].reshape(-1, height * width * channels)
        sums[0] += chunk.sum(axis=0, dtype=np.uint32)
        sums[1] += np.multiply(chunk, chunk, dtype=np.uint16).sum(axis=0, dtype=np.uint32)
    first, second = (list(map(int, one.reshape(-1, channels).sum(axis=0))) for one in sums)
    count = n * height * width
    mean = [a / count / 255 for a in first]
    std = [(count * b - a * a) ** 0.5 / count / 255 or 1.0 for a, b in zip(first, second, strict=True)]
    return np.array(mean, np.float32), np.array(std, np.float32)
