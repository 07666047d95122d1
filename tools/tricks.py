"""What each trick of the NumPy engine gains, one taken away at a time: `python -m tools.tricks`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
from leakysm_benchmarks.report import lines
from leakysm_benchmarks.sizes import SIZES, Size
from leakysm_benchmarks.train_step import Ours, compare_steps
from leakysm_benchmarks.turns import Contender

from leakysm.backends.numpy import memory, products, scratch
from leakysm.backends.numpy.block import backward as conv_block_backward
from leakysm.backends.numpy.block import forward as conv_block
from leakysm.backends.numpy.block import windows
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


@contextmanager
def _whole_products() -> Any:
    """As BLAS cuts them itself."""
    products._width.cache_clear()
    with _patched((products, "SMALL", ENDLESS), (products, "COLUMNS", (ENDLESS, ENDLESS)))():
        yield
    products._width.cache_clear()


def _both_apart(self: Any, block: Any, incoming: Any, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dw from im2col(x), dx from im2col(d)."""
    dw = self._weights(block, incoming)
    with patch.object(products.TransposedProduct, "add", lambda *_: None):
        return BOTH(self, block, incoming, k)[0], dw


BOTH = conv_block_backward.Backward._both


def tricks(threads: int) -> dict[str, Without]:
    """By name what takes each away."""
    sums = [(conv_block, "column_sums", _plain_sums), (conv_block_backward, "halved_sums", _plain_sums)]
    return {
        "a thread's share in one chunk": _patched((windows, "CACHE", ENDLESS), (windows, "CHUNKS", threads)),
        "matrix products uncut": _whole_products,
        "first block as the others": _patched((conv_block, "few_channels", lambda x: False)),
        "an im2col for each gradient": _patched((conv_block_backward.Backward, "_both", _both_apart)),
        "column sums by np.sum": _patched(*sums),
        "fresh memory for activations": _patched((memory.Memory, "__call__", _fresh)),
        "fresh memory for buffers": _patched((scratch.Scratch, "__call__", _fresh)),
    }


class Step:
    """Training steps with something taken away. kind: "without", or "ours" with nothing."""

    def __init__(self, name: str, ours: Ours, without: Without) -> None:
        self.name, self.kind = name, "ours" if without is nullcontext else "without"
        self._ours, self._without = ours, without

    def step(self, indices: np.ndarray) -> None:
        """One update."""
        with self._without():
            self._ours.step(indices)

    def finish(self) -> None:
        """Nothing to wait for."""


def contenders(size: Size, threads: int | None) -> list[Contender]:
    """All tricks first, then one taken away at a time."""
    ours = Ours(NumpyEngine(threads), size)
    alone, apart = Ours(NumpyEngine(1), size), Ours(NumpyEngine(threads), size)
    del apart.engine.pairs["prototypes"]
    return [
        Step("leakysm", ours, nullcontext),
        Step("one thread", alone, _patched()),
        *(Step(name, ours, without) for name, without in tricks(ours.engine.threads).items()),
        Step("prototypes one by one", apart, _patched()),
    ]


def compare(*, threads: int | None = None, sizes: Sequence[Size] = SIZES, **options: Any) -> list[dict[str, Any]]:
    """`Comparison`s as dictionaries, size by size: the ratio is what the step takes without a trick over with all.

    options: rounds and progress of `compare_steps`.
    """
    found: list[dict[str, Any]] = compare_steps("tricks", lambda size: contenders(size, threads), sizes, **options)
    return found


def main() -> None:
    """Measure and print."""
    print("\n".join(lines(compare(progress=lambda text: print(text, file=sys.stderr)))))


if __name__ == "__main__":
    main()
