"""Read a user's own images, as `leakysm predict` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leakysm.data.images import read_each_for_net
from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError


def read_for_net(files: Sequence[Path], inputs: InputFormat) -> np.ndarray:
    """Images (n, H, W, C) in that format. UserError names the first one that cannot be read."""
    images = list(read_each_for_net(files, inputs))
    for image in images:
        if isinstance(image, UserError):
            raise image
    return np.stack(images)
