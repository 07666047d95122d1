"""A training step on the CPU: ours beside PyTorch's, and beside its matrix products and its memory traffic alone.

Each step starts from an episode's indices into images of bytes, and ends with updated parameters: forward, loss,
backward, Adam.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from leakysm_benchmarks.step_sizes import SIZES, Size, episodes, layers, pixels
from leakysm_benchmarks.turns import Comparison, Contender, comparisons, take_turns

from leakysm.backends.numpy.engine import NumpyEngine
from leakysm.backends.numpy.memory import aligned_copy
from leakysm.backends.numpy.products import TransposedProduct, multiply
from leakysm.backends.numpy.scratch import Scratch
from leakysm.backends.numpy.threads import Workers, in_groups
from leakysm.nets import Conv4
from leakysm.ops.metrics import LeakySquaredEuclidean
from leakysm.optim import Adam
from leakysm.training.loss import episode_loss

CHUNK = 1200  # rows of a product that is in cache
LEARNING_RATE = 1e-3


class OurStep(Contender):
    """A step of the NumPy engine, made of the parts that the trainer uses."""

    name, kind = "leakysm", "ours"

    def __init__(self, engine: NumpyEngine, size: Size) -> None:
        self.engine, self.size, self.pixels = engine, size, pixels(size)
        self.net, self.optimizer = Conv4(size.image[2], engine=engine), Adam(LEARNING_RATE)
        self.metric = LeakySquaredEuclidean()
        self.support_labels = np.repeat(np.arange(size.way), size.shot)
        self.query_labels = np.repeat(np.arange(size.way), size.query)

    def step(self, indices: np.ndarray) -> float:
        """One update. Returns the loss."""
        images = self.pixels[indices].astype(np.float32) / np.float32(255)
        z, saved = self.net.forward(images)
        result = episode_loss(self.engine, self.metric, z, self.support_labels, self.query_labels, self.size.way)
        self.optimizer.step(self.net.vector, self.net.backward(saved, result.dz))
        self.net.update_running(saved)
        return float(result.loss)


class Products(Contender):
    """The step's matrix products alone, as the engine makes them, on factors that stay in cache."""

    name, kind = "matrix products alone", "floor"

    def __init__(self, workers: Workers, size: Size) -> None:
        self._workers, self._scratch = workers, Scratch()
        self._chunks = [(C, min(CHUNK, n - first)) for n, C in layers(size) for first in range(0, n, CHUNK)]
        # Ordinary numbers: with subnormal ones, such as fresh memory may hold, a product can take ten times as long.
        self._factors = aligned_copy(np.ones(CHUNK * 576, np.float32))
        self._w = aligned_copy(np.ones((576, 64), np.float32))

    def _multiply(self, group: Sequence[tuple[int, int]]) -> None:
        for C, m in group:
            by_taps, by_filters = (self._factors[: m * width].reshape(m, width) for width in (9 * C, 576))
            rows = self._scratch("y", (m, 64), np.float32)
            multiply(by_taps, self._w[: 9 * C], out=rows)
            if C == 64:
                multiply(by_filters, self._w, out=rows)
                TransposedProduct(64, 576, rows.dtype).add(rows, by_filters)
            else:
                TransposedProduct(9 * C, 64, rows.dtype).add(by_taps, rows)

    def step(self, indices: Any) -> None:
        """All products of a step."""
        self._workers.map(self._multiply, in_groups(self._chunks))


class Traffic(Contender):
    """Each activation and each gradient of one, read and written once, on all threads."""

    name, kind = "memory traffic alone", "floor"

    def __init__(self, workers: Workers, size: Size) -> None:
        self._workers = workers
        largest = max(n for n, _ in layers(size)) * 64
        self._source, self._target = np.ones(largest, np.float32), np.ones(largest, np.float32)
        self._sizes = [64 * n for n, _ in layers(size) for _ in range(2)]

    def step(self, indices: Any) -> None:
        """All copies of a step."""
        for n in self._sizes:
            parts = np.array_split(np.arange(0, n, 1 << 18), self._workers.threads)
            runs = [(int(p[0]), min(n, int(p[-1]) + (1 << 18))) for p in parts if len(p)]
            self._workers.map(lambda run: np.copyto(self._target[slice(*run)], self._source[slice(*run)]), runs)


def contenders(size: Size, threads: int | None, vs: Sequence[str]) -> list[Contender]:
    """Ours first, then PyTorch in three forms, then the floors."""
    engine, workers = NumpyEngine(threads), Workers(threads)
    players: list[Contender] = [OurStep(engine, size)]
    if "torch" in vs:
        from leakysm_benchmarks.torch_conv4 import FORMS, TorchStep

        players += [TorchStep(size, form, threads=engine.threads) for form in FORMS]
    return [*players, Products(workers, size), Traffic(workers, size)]


def compare(
    *,
    threads: int | None = None,
    vs: Sequence[str] = ("torch",),
    sizes: Sequence[Size] = SIZES,
    **options: Any,
) -> list[dict[str, Any]]:
    """`Comparison`s as dictionaries, size by size; UserError where PyTorch is asked for and missing.

    options: rounds and progress of `compare_steps`.
    """
    return compare_steps("training step", lambda size: contenders(size, threads, vs), sizes, **options)


def compare_steps(
    what: str,
    players_of: Callable[[Size], Sequence[Contender]],
    sizes: Sequence[Size],
    *,
    rounds: int = 9,
    progress: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """`Comparison`s of training steps as dictionaries, size by size, on equal episodes."""
    results: list[Comparison] = []
    for size in sizes:
        progress(f"{what}, {size}")
        players, drawn = players_of(size), episodes(size, 2 if size.image[0] < 40 else 1)
        results += comparisons(players, take_turns(players, drawn, rounds=rounds, warm_up=2), str(size))
    return [asdict(comparison) for comparison in results]
