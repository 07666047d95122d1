"""Evaluation on the CPU: every test image is embedded once, with running statistics; episodes look them up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from leakysm_benchmarks.turns import Comparison, Contender, comparisons, take_turns

from leakysm.backends.numpy.engine import NumpyEngine
from leakysm.nets import Conv4

BATCH = 250
SIZES = ((2000, 28, 28, 1), (500, 84, 84, 3))


class OurEmbedding(Contender):
    """The NumPy engine's blocks with given statistics."""

    name, kind = "leakysm", "ours"

    def __init__(self, engine: NumpyEngine, images: np.ndarray) -> None:
        self.images, self.net = images, Conv4(images.shape[3], engine=engine)

    def step(self, runs: list[tuple[int, int]]) -> np.ndarray:
        """All embeddings, batch by batch."""
        batches = (self.images[first:last].astype(np.float32) / np.float32(255) for first, last in runs)
        return np.concatenate([self.net.embed(batch) for batch in batches])


def compare(
    *,
    threads: int | None = None,
    vs: Sequence[str] = ("torch",),
    sizes: Sequence[tuple[int, int, int, int]] = SIZES,
    rounds: int = 9,
    progress: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """`Comparison`s as dictionaries; UserError where PyTorch is asked for and missing."""
    results: list[Comparison] = []
    for shape in sizes:
        size = f"{shape[0]} images {'x'.join(map(str, shape[1:]))}"
        progress(f"embedding in evaluation, {size}")
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        engine = NumpyEngine(threads)
        players: list[Contender] = [OurEmbedding(engine, images)]
        if "torch" in vs:
            from leakysm_benchmarks.torch_conv4 import FORMS, TorchEmbedding

            players += [TorchEmbedding(images, form, threads=engine.threads) for form in FORMS]
        runs = [(first, min(first + BATCH, shape[0])) for first in range(0, shape[0], BATCH)]
        results += comparisons(players, take_turns(players, [runs], rounds=rounds, warm_up=2), size)
    return [asdict(comparison) for comparison in results]
