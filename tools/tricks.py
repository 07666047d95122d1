"""Measure each trick of the NumPy engine by a step without it: `python -m tools.tricks`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
from leakysm_benchmarks.report import lines
from leakysm_benchmarks.step_sizes import SIZES, Size
from leakysm_benchmarks.train_step import OurStep, compare_steps
from leakysm_benchmarks.turns import Contender

from leakysm.backends.numpy import memory, products, scratch
from leakysm.backends.numpy.blas import multiplies_in_place
from leakysm.backends.numpy.block import backward, forward
from leakysm.backends.numpy.block.chunks import Tiling
from leakysm.backends.numpy.engine import NumpyEngine

ENDLESS = 1 << 60
Without = Callable[[], AbstractContextManager[object]]


def _patched(*changes: tuple[Any, str, Any]) -> Without:
    @contextmanager
    def patches() -> Any:
        with ExitStack() as stack:
            for place, name, value in changes:
                stack.enter_context(patch.object(place, name, value))
            yield

    return patches


def _fresh(_: Any, *arguments: Any) -> np.ndarray:
    shape, dtype = arguments[-2:]
    return np.empty(shape, dtype)


def _plain_sums(*several: np.ndarray) -> np.ndarray:
    return np.stack([rows.sum(axis=0, dtype=np.float64) for rows in several])


def _both_apart(self: Any, block: Any, gradient: Any, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dw from im2col(x), dx from im2col(d)."""
    dw = self._weights(block, gradient)
    with patch.object(products.TransposedProduct, "add", lambda *_: None):
        return BOTH(self, block, gradient, k)[0], dw


BOTH = backward.BackwardPass._both
OTHER = {"small": products.WHOLE if multiplies_in_place() else products.SMALL}  # products as they suit other kernels
AS_IT_COMES = np.ascontiguousarray  # the start of an array's memory


def tricks() -> dict[str, Without]:
    """A context for each trick, by name, in which the engine does without it. `engines` has the other tricks."""
    return {
        "matrix products cut as for other kernels": _patched(
            (products.multiply, "__kwdefaults__", OTHER),
            (products.TransposedProduct.__init__, "__kwdefaults__", OTHER),
        ),
        "weights anywhere in memory": _patched(
            (forward, "aligned_copy", AS_IT_COMES), (backward, "aligned_copy", AS_IT_COMES)
        ),
        "first block as the others": _patched((forward, "few_channels", lambda x: False)),
        "an im2col for each gradient": _patched((backward.BackwardPass, "_both", _both_apart)),
        "column sums by np.sum": _patched(
            (forward, "column_sums", _plain_sums), (backward, "halved_sums", _plain_sums)
        ),
        "fresh memory for activations": _patched((memory.Memory, "__call__", _fresh)),
        "fresh memory for buffers": _patched((scratch.Scratch, "__call__", _fresh)),
    }


def engines(threads: int | None) -> dict[str, NumpyEngine]:
    """Engines that are made without a trick, by its name."""
    whole = NumpyEngine(threads)
    one_by_one = NumpyEngine(threads)
    del one_by_one.pairs["prototypes"]
    return {
        "one thread": NumpyEngine(1),
        "a thread's share in one chunk": NumpyEngine(threads, blocks=Tiling(cache=ENDLESS, chunks=whole.threads)),
        "prototypes one by one": one_by_one,
    }


class Step(Contender):
    """A training step without a trick. kind: "without", or "ours" for the step with all tricks."""

    def __init__(self, name: str, ours: OurStep, without: Without) -> None:
        self.name, self.kind = name, "ours" if without is nullcontext else "without"
        self._ours, self._without = ours, without

    def step(self, indices: np.ndarray) -> None:
        """One update."""
        with self._without():
            self._ours.step(indices)


def contenders(size: Size, threads: int | None) -> list[Contender]:
    """The step with all tricks first, then a step without each."""
    ours = OurStep(NumpyEngine(threads), size)
    return [
        Step("leakysm", ours, nullcontext),
        *(Step(name, OurStep(engine, size), _patched()) for name, engine in engines(threads).items()),
        *(Step(name, ours, without) for name, without in tricks().items()),
    ]


def compare(*, threads: int | None = None, sizes: Sequence[Size] = SIZES, **options: Any) -> list[dict[str, Any]]:
    """`Comparison`s as dictionaries, size by size. The ratio is the time without a trick over that with all tricks.

    options: rounds and progress of `compare_steps`.
    """
    results: list[dict[str, Any]] = compare_steps("tricks", lambda size: contenders(size, threads), sizes, **options)
    return results


def main() -> None:
    """Measure and print."""
    print("\n".join(lines(compare(progress=lambda text: print(text, file=sys.stderr)))))


if __name__ == "__main__":
    main()
