"""A training step on a GPU: ours beside PyTorch's, and beside its matrix products and its memory traffic alone.

Both sides start from an episode's indices on the host and end with updated parameters. The contenders take turns (A B C
A B C), with several steps a turn, and a turn ends when the device has finished. Our step also brings loss and figures
to the host; PyTorch's brings nothing. `compare_training_steps` is what `leakysm bench --device cuda` calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from leakysm_benchmarks.step_sizes import SIZES, Size, episodes, layers, pixels
from leakysm_benchmarks.turns import Contender, comparisons, take_turns

from leakysm.backends.cupy.engine import CupyEngine
from leakysm.nets import Conv4
from leakysm.ops.metrics import LeakySquaredEuclidean, SquaredEuclidean
from leakysm.optim import Adam, Optimizer
from leakysm.training.device_step import device_step

LEARNING_RATE = 1e-3
ROUNDS, WARM_UP = 30, 3  # turns of each side, and those before them that are not measured
STEPS = 10  # of a turn
Distance = SquaredEuclidean | LeakySquaredEuclidean


class OnDevice(Contender):
    """A contender on a device: its turn ends when the device has finished."""

    engine: CupyEngine

    def finish(self) -> None:
        self.engine.synchronize()


class OurStep(OnDevice):
    """The CuPy engine's whole step, by Adam if no optimizer is given."""

    def __init__(
        self,
        engine: CupyEngine,
        size: Size,
        metric: Distance,
        name: str = "leakysm",
        kind: str = "ours",
        optimizer: Optimizer | None = None,
    ) -> None:
        self.name, self.kind = name, kind
        channels = size.image[2]
        self.net = Conv4(channels, engine=engine)
        images = tuple(map(engine.asarray, (pixels(size), np.zeros(channels, "f4"), np.ones(channels, "f4"))))
        form = {"way": size.way, "shot": size.shot, "query": size.query}
        self.engine = engine
        step = device_step(engine, self.net, optimizer or Adam(LEARNING_RATE), metric, images, **form)
        assert step, "the engine has no whole step"
        self._step = step

    def step(self, indices: np.ndarray) -> Any:
        """One update. Returns the record of `device_step`."""
        return self._step(indices)


class Products(OnDevice):
    """The step's matrix products alone, by cuBLAS: forward, and both gradients; of the first layer, only dw."""

    name, kind = "matrix products alone", "floor"

    def __init__(self, engine: CupyEngine, size: Size) -> None:
        self.engine = engine
        self.calls: list[tuple[Any, Any]] = []
        for outputs, channels in layers(size):
            rows, columns, dy = (self._some(outputs, n) for n in (9 * channels, 64, 64))
            w = self._some(9 * channels, 64)
            self.calls += [(rows, w), (rows.T, columns)]
            if channels == 64:
                self.calls.append((dy, w.T))

    def _some(self, *shape: int) -> Any:
        return self.engine.xp.random.standard_normal(shape, dtype=np.float32)

    def step(self, indices: np.ndarray) -> None:
        for a, b in self.calls:
            self.engine.xp.matmul(a, b)


class Traffic(OnDevice):
    """Each activation and each gradient of one, written and read once: copies on the device."""

    name, kind = "memory traffic alone", "floor"

    def __init__(self, engine: CupyEngine, size: Size) -> None:
        self.engine = engine
        values = [64 * pixels for pixels, _ in layers(size)]
        self.pairs = [tuple(engine.xp.ones(n, np.float32) for _ in range(2)) for n in values for _ in range(2)]

    def step(self, indices: np.ndarray) -> None:
        for source, target in self.pairs:
            self.engine.xp.copyto(target, source)


def contenders(size: Size, *, products: str, device: str) -> list[Contender]:
    """Ours first, then PyTorch as it is usually run and as fast as it gets, then the floors."""
    from leakysm_benchmarks.torch_conv4 import GPU_FORMS, TorchStep

    engine, metric = CupyEngine(device, products=products), LeakySquaredEuclidean()
    where: dict[str, Any] = {"tf32": products == "tf32", "device": f"cuda:{engine.device}"}
    peers = [TorchStep(size, form, metric, **where) for form in GPU_FORMS]
    return [OurStep(engine, size, metric), *peers, Products(engine, size), Traffic(engine, size)]


def compare_training_steps(
    *, device: str, products: str, rounds: int | None, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """`Comparison`s as dictionaries with `products`, size by size. With "tf32" all contenders may use TF32, else none.

    A process can measure only one of the two, since CuPy reads its flag once. UserError without CuPy, PyTorch or a GPU.
    """
    results: list[dict[str, Any]] = []
    for size in SIZES:
        progress(str(size))
        players = contenders(size, products=products, device=device)
        times = take_turns(players, episodes(size, STEPS), rounds=rounds or ROUNDS, warm_up=WARM_UP)
        results += [asdict(row) | {"products": products} for row in comparisons(players, times, str(size))]
    return results
