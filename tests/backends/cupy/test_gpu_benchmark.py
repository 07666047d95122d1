"""The GPU benchmarks do and count the work they say: shown on the CPU, by the kernels' host build and PyTorch."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from leakysm_benchmarks import gpu, step_sizes

from leakysm.backends.cupy.device import CudaKernels
from leakysm.backends.cupy.kernels import instances
from leakysm.ops.metrics import LeakySquaredEuclidean, SquaredEuclidean
from tests.backends.cupy.block_cases import assert_close
from tests.backends.cupy.host_kernels import HostEngine
from tests.backends.cupy.test_device import fake_cupy
from tests.benchmarks.torch_weights import take_weights
from tools.gpu import first_minutes
from tools.gpu import profile as gpu_profile

SMALL = step_sizes.Size(3, 2, 2, (16, 16, 3))


@pytest.mark.parametrize("metric", [SquaredEuclidean(), LeakySquaredEuclidean(threshold=2.0, slope=0.1)], ids=str)
def test_both_sides_do_the_same_work(host_kernels, metric):
    """The same losses at the first step, and at the second, after the first one's update."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from leakysm_benchmarks.torch_conv4 import GPU_FORMS, TorchStep

    ours, theirs = gpu.OurStep(HostEngine(host_kernels), SMALL, metric), TorchStep(SMALL, GPU_FORMS[0], metric)
    take_weights(theirs.net, ours.net)
    for indices in step_sizes.episodes(SMALL, 2):
        record = ours.step(indices)
        loss = theirs.step(indices).item()
        assert_close(record[:1], np.array([loss]), 1 + record[5], 2048, "loss")  # record[5]: the mean distance


def test_the_floors_have_the_steps_shapes():
    engine = type("Engine", (), {"xp": np})
    traffic = gpu.Traffic(engine, SMALL)
    images = SMALL.images
    assert [a.size for a, _ in traffic.pairs[::2]] == [images * 64 * n for n in (256, 64, 16, 4)]
    assert step_sizes.layers(step_sizes.SIZES[2])[2] == (320 * 21 * 21, 64)


def test_a_profile_counts_a_step_and_its_operations(host_kernels):
    ours = gpu.OurStep(HostEngine(host_kernels), SMALL, SquaredEuclidean())
    rows = gpu_profile.profile(ours, SMALL, seconds=lambda launch: 1e-6)
    host_kernels.launched.clear()
    ours.step(step_sizes.episodes(SMALL, 1)[0])
    assert [row.name for row in rows] == host_kernels.launched
    first, *others = [2 * pixels * 9 * channels * 64 for pixels, channels in step_sizes.layers(SMALL)]
    assert sum(row.operations for row in rows) == 2 * first + 3 * sum(others)
    gather = next(row for row in rows if row.name == "gather")
    images, pixels = SMALL.images, 16 * 16 * 3
    assert gather.size == step_sizes.pixels(SMALL).nbytes + 8 * images + 4 * images * pixels + 2 * 4 * 3
    table = gpu_profile.lines(rows)
    assert len(table) == len(rows) + 2
    assert table[-1].split()[0] == f"{len(rows):.1f}"


def test_the_first_minutes_compare_gradients_with_the_cpu(host_kernels, monkeypatch, capsys):
    monkeypatch.setattr(first_minutes, "CupyEngine", lambda device, **options: HostEngine(host_kernels))
    monkeypatch.setattr(first_minutes, "SIZES", [first_minutes.SMALL])
    first_minutes.against_cpu("float32")
    first_minutes.once("float32", "0")
    compared, once = map(json.loads, capsys.readouterr().out.splitlines())
    assert compared["bits_repeat"] is True
    assert compared["gradient_error"] < 1e-4
    assert compared["record"][0] == pytest.approx(compared["loss_on_cpu"], rel=1e-5)
    assert once["record"] == compared["record"]


@pytest.fixture
def driven(monkeypatch, tmp_path):
    """Kernels by a stand-in for CuPy whose driver keeps what it was asked."""
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path))
    asked = []
    driver = SimpleNamespace(
        CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES=3,
        CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT=9,
        funcGetAttribute=lambda attribute, function: 16 if (attribute, function) == (3, "_Zpool") else 0,
        funcSetAttribute=lambda *given: asked.append(given),
    )
    kernels = CudaKernels(fake_cupy(lambda _: None, driver=driver))
    kernels.asked = asked
    return kernels


def test_the_first_minutes_name_the_kernels_that_spill(driven, monkeypatch, capsys):
    monkeypatch.setattr(first_minutes, "CupyEngine", lambda device, products: SimpleNamespace(kernels=driven))
    first_minutes.compile_all("float32")
    assert json.loads(capsys.readouterr().out)["spilled"] == {"pool": 16}


def test_the_first_minutes_divide_the_memory_of_every_kernel(driven):
    first_minutes.divide_memory(driven, 75)
    names = [name for file in instances("FLOAT32").values() for name in file]
    assert driven.asked == [("_Z" + name, 9, 75) for name in names]
