"""A small folder of pictures: noisy copies of one pattern for each class, in colour."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 19, 17  # odd: the poolings leave a row and a column out
CLASSES, PICTURES = 4, 4
TIME = 1_600_000_000  # of every file: the data cache knows files by name, size and time


def draw(root: Path) -> Path:
    """<split>/<class>/<picture>.png for train, val and test. The same pixels on every machine."""
    for number, split in enumerate(("train", "val", "test")):
        for k in range(CLASSES):
            folder = root / split / f"{split}{k}"
            folder.mkdir(parents=True)
            pattern = _noise(10 * number + k) // 2
            for i in range(PICTURES):
                pixels = pattern + _noise(1000 + 100 * number + 10 * k + i) // 4
                Image.fromarray(pixels).save(folder / f"{i}.png")
    set_times(root)
    return root


def set_times(root: Path) -> None:
    """Give all files below `root` one time."""
    for path in root.rglob("*.png"):
        os.utime(path, (TIME, TIME))


def _noise(seed: int) -> NDArray[np.uint8]:
    """Raw words of the generator, cut into bytes: no version of NumPy draws others."""
    size = HEIGHT * WIDTH * 3
    words = np.asarray(np.random.Philox(key=seed).random_raw(size // 8 + 1)).astype("<u8")
    return words.view(np.uint8)[:size].reshape(HEIGHT, WIDTH, 3)
