"""The loss of many classes, `distance_cross_entropy`, beside the distances alone and PyTorch's way.

PyTorch takes the classes in chunks by hand: `torch.cdist`, the leaky formula, `logsumexp` of every chunk, under
`torch.utils.checkpoint` for the gradients. Without chunks it holds several arrays of N x M. Its fast form of cdist is
used, which loses small distances; random points have none.

`python -m leakysm_benchmarks.classes CLASSES` prints ratios and extra memory for one number of classes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from leakysm_benchmarks.memory import peak_of_this_process
from leakysm_benchmarks.turns import Call, Contender, comparisons, take_turns

import leakysm as lk
from leakysm.backends.numpy.engine import NumpyEngine
from leakysm.backends.numpy.runs import cut

QUERIES, WIDTH = 4096, 64
CLASSES = (1_000, 10_000, 100_000)
CHUNK = 4096  # classes that PyTorch and the distances alone take at a time
METRIC = lk.LeakySquaredEuclidean(threshold=1.0, slope=0.1)

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # x (N, D), c (M, D), labels (N,)


def arrays(classes: int, queries: int = QUERIES) -> Arrays:
    """Normal points near the threshold."""
    rng = np.random.default_rng(0)
    x, c = (rng.standard_normal((n, WIDTH), np.float32) for n in (queries, classes))
    for points in (x, c):
        points /= 8  # in place: no peak of memory that hides another
    return x, c, rng.integers(0, classes, queries)


def ours(engine: NumpyEngine, given: Arrays, gradients: bool) -> Callable[[], Any]:
    """The NumPy engine's pair."""
    pair = engine.operation("distance_cross_entropy")

    def run() -> Any:
        loss, saved = pair.forward(*given, distance=METRIC)
        return (loss, *pair.backward(saved)) if gradients else loss

    return run


def distances_alone(engine: NumpyEngine, given: Arrays) -> Callable[[], Any]:
    """The engine's distances, chunk after chunk, and nothing else."""
    pair, (x, c, _) = engine.operation(METRIC.operation), given

    def run() -> None:
        for classes in cut(len(c), CHUNK):
            pair.forward(x, c[classes], **METRIC.parameters)

    return run


def torch_in_chunks(given: Arrays, gradients: bool, threads: int) -> Callable[[], Any]:
    """PyTorch by hand."""
    import torch
    from torch.utils.checkpoint import checkpoint

    torch.set_num_threads(threads)
    x, c, labels = map(torch.from_numpy, given)

    def leaky(d: Any) -> Any:
        return torch.where(d <= METRIC.threshold, d, METRIC.threshold + METRIC.slope * (d - METRIC.threshold))

    def log_sum(some: Any, query: Any) -> Any:
        return torch.logsumexp(-leaky(torch.cdist(query, some) ** 2), dim=1)

    def run() -> Any:
        query, centres = (a.detach().requires_grad_(gradients) for a in (x, c))
        sums = [checkpoint(log_sum, some, query, use_reentrant=False) for some in centres.split(CHUNK)]
        at_label = leaky(((query - centres[labels]) ** 2).sum(1))
        loss = (torch.logsumexp(torch.stack(sums, dim=1), dim=1) + at_label).mean()
        if not gradients:
            return loss.item()
        return (loss.item(), *(g.numpy() for g in torch.autograd.grad(loss, (query, centres))))

    return run


def compare(
    *,
    threads: int | None = None,
    vs: Sequence[str] = ("torch",),
    classes: Sequence[int] = CLASSES,
    queries: int = QUERIES,
    rounds: int = 3,
    progress: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """`Comparison`s as dictionaries: each number of classes, the value, and the value with gradients."""
    engine = NumpyEngine(threads)
    results = []
    for number in classes:
        given = arrays(number, queries)
        for gradients in (False, True):
            label = f"{queries} queries, {number:,} classes, {'value and gradients' if gradients else 'value'}"
            progress(f"classes, {label}")
            players: list[Contender] = [
                Call("leakysm", "ours", ours(engine, given, gradients)),
                Call("the distances alone", "floor", distances_alone(engine, given)),
            ]
            if "torch" in vs:
                players.append(Call("torch in chunks", "peer", torch_in_chunks(given, gradients, engine.threads)))
            times = take_turns(players, [None], rounds=min(rounds, 3), warm_up=int(number < CLASSES[-1]))
            results += [asdict(comparison) for comparison in comparisons(players, times, label)]
    return results


def extra_memory(classes: int) -> tuple[float, float]:
    """Peak MB beyond arguments and gradients, of value and of both; run it in a process of its own."""
    given = arrays(classes)
    run = ours(NumpyEngine(), arrays(64, 64), gradients=True)
    run()  # libraries and threads
    del run
    gradients = given[0].nbytes + given[1].nbytes
    engine, before = NumpyEngine(), peak_of_this_process()
    ours(engine, given, gradients=False)()
    value = peak_of_this_process() - before
    ours(engine, given, gradients=True)()
    return value, max(peak_of_this_process() - before - gradients / 1e6, value)


def _main(classes: int) -> None:
    value, both = extra_memory(classes)
    print(f"{classes:,} classes: extra memory {value:.0f} MB for the value, {both:.0f} MB with gradients")
    given, engine, seconds = arrays(classes), NumpyEngine(), []
    for call in (distances_alone(engine, given), ours(engine, given, False), ours(engine, given, True)):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    alone, value, both = seconds
    print(
        f"distances alone {alone:.1f} s; value {value / alone:.2f} times that, with gradients {both / alone:.2f} times"
    )


if __name__ == "__main__":
    _main(int(sys.argv[1]))
