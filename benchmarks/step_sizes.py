"""The episodes that training steps are timed on, and the layers that they go through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakysm.episodes import sample

CLASSES, PER_CLASS = 100, 40  # of the random images that the episodes are drawn from


@dataclass(frozen=True)
class Size:
    """An episode's form and its images'."""

    way: int
    shot: int
    query: int
    image: tuple[int, int, int]

    @property
    def images(self) -> int:
        return self.way * (self.shot + self.query)

    def __str__(self) -> str:
        return f"{self.way}-way {self.shot}-shot {self.query}-query {'x'.join(map(str, self.image))}"


SIZES = (Size(60, 1, 5, (28, 28, 1)), Size(20, 5, 15, (28, 28, 1)), Size(20, 1, 15, (84, 84, 3)))


def pixels(size: Size, seed: int = 0) -> np.ndarray:
    """Random images of bytes, of CLASSES classes, class by class."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (CLASSES * PER_CLASS, *size.image), dtype=np.uint8)


def episodes(size: Size, count: int) -> list[np.ndarray]:
    """Index vectors, support first."""
    starts = np.arange(0, CLASSES * PER_CLASS + 1, PER_CLASS)
    drawn = (sample(starts, size.way, size.shot, size.query, seed=0, split="train", episode=e) for e in range(count))
    return [np.concatenate([episode.support, episode.query]) for episode in drawn]


def layers(size: Size) -> list[tuple[int, int]]:
    """The number of pixels of all images, and of input channels, of each convolution."""
    H, W, C = size.image
    return [(size.images * (H >> b) * (W >> b), C if b == 0 else 64) for b in range(4)]
