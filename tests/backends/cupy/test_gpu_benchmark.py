"""The GPU benchmark compares equal work: shown on the CPU, by the kernels' host build and PyTorch's own operations."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import gpu
from leakysm.ops.metrics import LeakySquaredEuclidean, SquaredEuclidean
from tests.backends.cupy.block_cases import assert_close
from tests.backends.cupy.host_kernels import HostEngine

SMALL = gpu.Size(3, 2, 2, (16, 16, 3))


def torch_with_weights_of(net, metric):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks.gpu_torch import TorchStep, torch

    peer = TorchStep(SMALL, metric, gpu.pixels(SMALL), compiled=False, tf32=False, device="cpu")
    convolutions = [m for m in peer.net if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        for b, convolution in enumerate(convolutions, 1):
            weight = np.array(net.parameters[f"block{b}.weight"])
            convolution.weight.copy_(torch.from_numpy(weight).permute(3, 2, 0, 1))
    return peer


@pytest.mark.parametrize("metric", [SquaredEuclidean(), LeakySquaredEuclidean(threshold=2.0, slope=0.1)], ids=str)
def test_both_sides_do_the_same_work(host_kernels, metric):
    """The same losses at the first step, and at the second, after the first one's update."""
    ours = gpu.Ours(HostEngine(host_kernels), SMALL, metric)
    theirs = torch_with_weights_of(ours.net, metric)
    for indices in gpu.episodes(SMALL, 2):
        record = ours.step(indices)
        loss = theirs.step(indices).item()
        assert_close(record[:1], np.array([loss]), 1 + record[5], 2048, "loss")  # record[5]: the mean distance


def test_the_floors_have_the_steps_shapes():
    engine = type("Engine", (), {"xp": np})
    traffic = gpu.Traffic(engine, SMALL)
    images = SMALL.images
    assert [a.size for a, _ in traffic.pairs[::2]] == [images * 64 * n for n in (256, 64, 16, 4)]
    assert gpu.layers(gpu.SIZES[2])[2] == (320 * 21 * 21, 64)


class Clock:
    """Contenders whose steps take a known time on a clock that the test turns."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(gpu.time, "perf_counter", lambda: self.now)

    def contender(self, name, seconds, kind="peer"):
        times = iter(seconds)

        class Player:
            def step(player, indices):  # noqa: N805
                self.now += next(times)

            def finish(player):  # noqa: N805
                pass

        Player.name, Player.kind = name, kind
        return Player()


def test_ratios_are_taken_turn_by_turn(monkeypatch):
    """The first turn is not counted; a ratio is the median of theirs over ours beside it."""
    clock = Clock(monkeypatch)
    ours = clock.contender("ours", [9, 9, 1, 1, 2, 2, 4, 4])
    theirs = clock.contender("theirs", [1, 1, 3, 3, 2, 2, 8, 8])
    times = gpu.take_turns([ours, theirs], [None, None], rounds=3, warm_up=1)
    np.testing.assert_array_equal(times, [[1, 3], [2, 2], [4, 8]])
    (found,) = gpu.comparisons([ours, theirs], times, SMALL, tf32=False)
    assert (found.peer, found.ratio, found.ours[0], found.theirs[0]) == ("theirs", 2.0, 2.0, 3.0)
