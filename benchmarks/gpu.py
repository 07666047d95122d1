"""A training step on a GPU: ours beside PyTorch's, and beside its matrix products and its memory traffic alone.

Both sides start from an episode's indices on the host and end with updated parameters. The contenders take turns (A B C
A B C), several steps a turn, and a turn ends when the device has finished; ours also brings loss and figures to the
host at every step, PyTorch nothing. `compare_training_steps` is what `leakysm bench --device cuda` calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from leakysm.backends.cupy.engine import CupyEngine
from leakysm.episodes import sample
from leakysm.nets import Conv4
from leakysm.ops.metrics import LeakySquaredEuclidean, SquaredEuclidean
from leakysm.optim import Adam

CLASSES, PER_CLASS = 100, 40  # of the random images that the episodes are drawn from
LEARNING_RATE = 1e-3
Distance = SquaredEuclidean | LeakySquaredEuclidean


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


class Contender(Protocol):
    """One way to make a training step, or a part of one. `step` begins it, `finish` waits for all that were begun."""

    name: str
    kind: str

    def step(self, indices: np.ndarray) -> Any: ...

    def finish(self) -> None: ...


@dataclass(frozen=True)
class Comparison:
    """ratio: median of a peer's turn over ours beside it; above 1, ours is faster. Times in seconds a step: median,
    lower and upper quartile. kind: "peer", or "floor" for a part of the step alone."""

    peer: str
    size: str
    kind: str
    tf32: bool
    ratio: float
    ours: tuple[float, float, float]
    theirs: tuple[float, float, float]


def pixels(size: Size, seed: int = 0) -> np.ndarray:
    """Random images of CLASSES classes, class by class, bytes."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (CLASSES * PER_CLASS, *size.image), dtype=np.uint8)


def episodes(size: Size, count: int) -> list[np.ndarray]:
    """Index vectors, support first."""
    starts = np.arange(0, CLASSES * PER_CLASS + 1, PER_CLASS)
    drawn = (sample(starts, size.way, size.shot, size.query, seed=0, split="train", episode=e) for e in range(count))
    return [np.concatenate([episode.support, episode.query]) for episode in drawn]


class Ours:
    """The CuPy engine's whole step."""

    name, kind = "leakysm", "ours"

    def __init__(self, engine: CupyEngine, size: Size, metric: Distance) -> None:
        channels = size.image[2]
        self.net = Conv4(channels, engine=engine)
        images = tuple(map(engine.asarray, (pixels(size), np.zeros(channels, "f4"), np.ones(channels, "f4"))))
        form = {"way": size.way, "shot": size.shot, "query": size.query}
        self.engine = engine
        step = engine.training_step(self.net, Adam(LEARNING_RATE), metric, images, **form)
        assert step, "the engine has no whole step"
        self.step = step

    def finish(self) -> None:
        self.engine.synchronize()


class Products:
    """The step's matrix products alone, by cuBLAS: forward, and both gradients; the first layer has one."""

    name, kind = "matrix products alone", "floor"

    def __init__(self, engine: CupyEngine, size: Size) -> None:
        self.engine = engine
        self.calls: list[tuple[Any, Any]] = []
        for pixels, channels in layers(size):
            rows, columns, dy = (self._some(pixels, n) for n in (9 * channels, 64, 64))
            w = self._some(9 * channels, 64)
            self.calls += [(rows, w), (rows.T, columns)]
            if channels == 64:
                self.calls.append((dy, w.T))

    def _some(self, *shape: int) -> Any:
        return self.engine.xp.random.standard_normal(shape, dtype=np.float32)

    def step(self, indices: np.ndarray) -> None:
        for a, b in self.calls:
            self.engine.xp.matmul(a, b)

    def finish(self) -> None:
        self.engine.synchronize()


class Traffic:
    """Each activation and each gradient of one, written and read once: copies on the device."""

    name, kind = "memory traffic alone", "floor"

    def __init__(self, engine: CupyEngine, size: Size) -> None:
        self.engine = engine
        values = [64 * pixels for pixels, _ in layers(size)]
        self.pairs = [tuple(engine.xp.ones(n, np.float32) for _ in range(2)) for n in values for _ in range(2)]

    def step(self, indices: np.ndarray) -> None:
        for source, target in self.pairs:
            self.engine.xp.copyto(target, source)

    def finish(self) -> None:
        self.engine.synchronize()


def layers(size: Size) -> list[tuple[int, int]]:
    """Of each convolution: pixels of all images, and channels of its input."""
    H, W, C = size.image
    return [(size.images * (H >> b) * (W >> b), C if b == 0 else 64) for b in range(4)]


def contenders(size: Size, *, tf32: bool, device: str | int | None, metric: Distance) -> list[Contender]:
    """Ours first, then PyTorch as it is usually run and as fast as it gets, then the floors."""
    from benchmarks.gpu_torch import TorchStep

    engine = CupyEngine(device, tf32=tf32)
    name = f"cuda:{engine.device}"
    peers = [TorchStep(size, metric, pixels(size), compiled=c, tf32=tf32, device=name) for c in (False, True)]
    return [Ours(engine, size, metric), *peers, Products(engine, size), Traffic(engine, size)]


def turn(contender: Contender, drawn: Sequence[np.ndarray]) -> float:
    """Seconds a step."""
    contender.finish()
    started = time.perf_counter()
    for indices in drawn:
        contender.step(indices)
    contender.finish()
    return (time.perf_counter() - started) / len(drawn)


def take_turns(players: Sequence[Contender], drawn: Sequence[np.ndarray], *, rounds: int, warm_up: int) -> np.ndarray:
    """(rounds, players) seconds a step, after `warm_up` turns of each that are not counted."""
    times = [[turn(player, drawn) for player in players] for _ in range(warm_up + rounds)]
    return np.array(times[warm_up:])


def comparisons(players: Sequence[Contender], times: np.ndarray, size: Size, *, tf32: bool) -> list[Comparison]:
    """Every player after the first against the first."""
    quartiles = [_median_and_quartiles(column) for column in times.T]
    ratios = np.median(times / times[:, :1], axis=0)
    return [
        Comparison(player.name, str(size), player.kind, tf32, float(ratio), quartiles[0], own)
        for player, ratio, own in list(zip(players, ratios, quartiles, strict=True))[1:]
    ]


def _median_and_quartiles(seconds: np.ndarray) -> tuple[float, float, float]:
    median, lower, upper = np.percentile(seconds, (50, 25, 75))
    return float(median), float(lower), float(upper)


def compare_training_steps(
    *,
    device: str | int | None = "cuda",
    tf32: bool = False,
    sizes: Sequence[Size] = SIZES,
    rounds: int = 30,
    steps: int = 10,
    warm_up: int = 3,
    metric: Distance | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """A list of `Comparison`s as dictionaries, size by size. tf32: allowed on all sides, or on none.

    One process measures one of the two: CuPy reads its flag once. UserError without CuPy or a GPU; without PyTorch too.
    """
    metric = metric or LeakySquaredEuclidean()
    found: list[Comparison] = []
    for size in sizes:
        progress(str(size))
        players = contenders(size, tf32=tf32, device=device, metric=metric)
        times = take_turns(players, episodes(size, steps), rounds=rounds, warm_up=warm_up)
        found += comparisons(players, times, size, tf32=tf32)
    return [asdict(comparison) for comparison in found]
