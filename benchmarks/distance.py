"""Squared Euclidean distances, and distances with both gradients, beside what others offer.

A test with neighbours a few units in the last place apart shows whether a peer keeps small distances; the report says
so beside its times. A product expansion loses them: it is faster, but does not do the same work. This holds in float32
even if it computes its blocks in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from leakysm_benchmarks.turns import Call, comparisons, take_turns_of_short_steps

from leakysm.backends.numpy.engine import NumpyEngine
from leakysm.errors import UserError

SIZES = ((300, 60, 64), (300, 20, 1600), (10_000, 1_000, 64), (1_000, 1_000, 1_600))
DTYPES = ("float32", "float64")
BLOCK = 1 << 26  # bytes of differences that the broadcast peer makes at a time
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # x (N, D), c (M, D), dy (N, M)
Make = Callable[[np.ndarray, np.ndarray, np.ndarray], Callable[[], Any]]


def ours(engine: NumpyEngine, gradients: bool) -> Make:
    """The NumPy engine's pair."""
    pair = engine.operation("squared_euclidean")

    def make(x: np.ndarray, c: np.ndarray, dy: np.ndarray) -> Callable[[], Any]:
        if not gradients:
            return lambda: pair.forward(x, c)[0]

        def both() -> Any:
            y, saved = pair.forward(x, c)
            return y, *pair.backward(saved, dy)

        return both

    return make


def broadcast(gradients: bool) -> Make:
    """sum((x - c)^2) by broadcasting, for one block of rows of x after another."""

    def make(x: np.ndarray, c: np.ndarray, dy: np.ndarray) -> Callable[[], Any]:
        rows = max(1, BLOCK // c.nbytes)

        def run() -> Any:
            y, dx, dc = np.empty_like(dy), np.empty_like(x), np.zeros_like(c)
            for i in (slice(first, first + rows) for first in range(0, len(x), rows)):
                difference = x[i, None, :] - c[None, :, :]
                y[i] = (difference * difference).sum(-1)
                if gradients:
                    difference *= 2 * dy[i, :, None]
                    dx[i] = difference.sum(1)
                    dc -= difference.sum(0)
            return (y, dx, dc) if gradients else y

        return run

    return make


def torch_cdist(mode: str, gradients: bool, threads: int) -> Make:
    """torch.cdist squared, gradients by autograd."""
    import torch

    torch.set_num_threads(threads)

    def make(x: np.ndarray, c: np.ndarray, dy: np.ndarray) -> Callable[[], Any]:
        a, b, g = map(torch.from_numpy, (x, c, dy))
        if not gradients:
            return lambda: (torch.cdist(a, b, compute_mode=mode) ** 2).numpy()
        a.requires_grad_()
        b.requires_grad_()

        def run() -> Any:
            y = torch.cdist(a, b, compute_mode=mode) ** 2
            return (y.detach().numpy(), *(t.numpy() for t in torch.autograd.grad(y, (a, b), g)))

        return run

    return make


def _scipy() -> Make:
    from scipy.spatial.distance import cdist

    return lambda x, c, dy: lambda: cdist(x, c, "sqeuclidean")


def _sklearn() -> Make:
    from sklearn.metrics.pairwise import euclidean_distances

    return lambda x, c, dy: lambda: euclidean_distances(x, c, squared=True)


def peers(vs: Sequence[str], gradients: bool, threads: int) -> list[tuple[str, Make]]:
    """The peers that are asked for, as (name, make). UserError for one that is not installed."""
    makers: list[tuple[str, Make]] = [("numpy broadcast", broadcast(gradients))]
    try:
        if "torch" in vs:
            for mode in ("donot_use_mm_for_euclid_dist", "use_mm_for_euclid_dist_if_necessary"):
                makers.append((f"torch.cdist {mode}", torch_cdist(mode, gradients, threads)))
        if "scipy" in vs and not gradients:
            makers.append(("scipy cdist", _scipy()))
        if "sklearn" in vs and not gradients:
            makers.append(("sklearn euclidean_distances", _sklearn()))
    except ImportError as error:
        raise UserError(f"a peer cannot be imported ({error}): pip install '.[peers]'") from None
    return makers


def keeps_small_distances(make: Make, dtype: str) -> bool:
    """Whether points a few units in the last place apart keep the relative accuracy that leakysm promises."""
    rng = np.random.default_rng(0)
    x = (8 + rng.standard_normal((64, 48))).astype(dtype)
    c = x + rng.integers(-3, 4, x.shape).astype(dtype) * np.spacing(x)
    result = make(x, c, np.ones((64, 64), dtype))()
    y = np.asarray(result[0] if isinstance(result, tuple) else result, np.float64)
    difference = x[:, None].astype(np.longdouble) - c[None].astype(np.longdouble)
    exact = (difference * difference).sum(-1)
    return bool(np.all(abs(y - exact) <= (np.ceil(np.log2(48)) + 3) * np.finfo(dtype).eps * exact))


def arrays(size: tuple[int, int, int], dtype: str) -> Arrays:
    """Standard normal points and cotangent."""
    (N, M, D), rng = size, np.random.default_rng(0)
    x, c, dy = (rng.standard_normal(shape).astype(dtype) for shape in ((N, D), (M, D), (N, M)))
    return x, c, dy


def compare(
    *,
    threads: int | None = None,
    vs: Sequence[str] = ("torch", "scipy", "sklearn"),
    sizes: Sequence[tuple[int, int, int]] = SIZES,
    rounds: int = 9,
    progress: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """`Comparison`s as dictionaries with `keeps_small_distances`: each size and dtype, without and with gradients."""
    engine = NumpyEngine(threads)
    results = []
    for size in sizes:
        for dtype in DTYPES:
            for gradients in (False, True):
                label = f"({', '.join(map(str, size))}) {dtype} {'value and gradients' if gradients else 'value'}"
                progress(f"distances, {label}")
                given = arrays(size, dtype)
                makes = [("leakysm", ours(engine, gradients)), *peers(vs, gradients, engine.threads)]
                players = [Call(name, "peer", make(*given)) for name, make in makes]
                times = take_turns_of_short_steps(players, rounds=rounds)
                kept = [keeps_small_distances(make, dtype) for _, make in makes[1:]]
                for comparison, keeps in zip(comparisons(players, times, label), kept, strict=True):
                    results.append(asdict(comparison) | {"keeps_small_distances": keeps})
    return results
