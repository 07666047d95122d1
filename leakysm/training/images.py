"""The images of one split, on an engine's device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from leakysm.backends.protocol import Engine
from leakysm.data import Dataset
from leakysm.episodes import Indices

Array = Any


class SplitImages:
    """The images of a split, on the engine's device. An episode is a vector of indices into them.

    starts (n_classes + 1,): class i's images are starts[i] to starts[i + 1] - 1.

    Examples
    --------
    >>> images = lk.SplitImages(lk.backend("numpy"), lk.load_dataset("strokes"), "test")
    >>> images(np.array([0, 1])).shape
    (2, 28, 28, 1)
    """

    def __init__(self, engine: Engine, data: Dataset, split: str) -> None:
        """UserError if the data set has no such split."""
        class_set = data.split(split)
        self.engine = engine
        self.split = split
        self.starts = class_set.starts
        self._images = engine.asarray(class_set.images)
        inputs = data.inputs
        self._inputs = replace(inputs, mean=engine.asarray(inputs.mean), std=engine.asarray(inputs.std))

    def __len__(self) -> int:
        return int(self._images.shape[0])

    def __call__(self, indices: Indices) -> Array:
        """The images with these indices, float32 (n, H, W, C)."""
        return self._inputs.to_float(self._images[self.engine.asarray(indices)])

    @property
    def on_device(self) -> tuple[Array, Array, Array]:
        """The pixels, uint8 (n, H, W, C), and the mean and deviation (C,) by which they become the net's input."""
        return self._images, self._inputs.mean, self._inputs.std

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return int(self._images.shape[3])

    @property
    def pixels(self) -> int:
        """Number of pixels of one image, H W."""
        return int(np.prod(self._images.shape[1:3]))
