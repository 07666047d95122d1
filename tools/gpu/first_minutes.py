"""The first minutes on a GPU, in parts: `python -m tools.gpu.first_minutes PART ...`; `first.sh` calls them in order.

Each finding is one line of JSON, written at once: what was found before a crash stays.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from leakysm_benchmarks.gpu import OurStep, Products, Traffic
from leakysm_benchmarks.step_sizes import SIZES, Size, episodes, pixels
from leakysm_benchmarks.turns import Contender, comparisons, take_turns

import leakysm as lk
from leakysm.backends.cupy.engine import CupyEngine
from leakysm.backends.cupy.kernels import Launch, instances
from leakysm.nets import Conv4
from leakysm.ops.metrics import LeakySquaredEuclidean
from leakysm.optim import SGD
from leakysm.training.loss import episode_loss

SMALL = Size(3, 1, 2, (28, 28, 1))


def tell(**finding: Any) -> None:
    """One line of JSON."""
    print(json.dumps(finding, default=str), flush=True)


def environment() -> None:
    """The device and the versions."""
    cupy = CupyEngine("cuda").xp
    import torch

    device = cupy.cuda.runtime.getDeviceProperties(0)
    tell(
        name=device["name"],
        multiprocessors=device["multiProcessorCount"],
        l2_bytes=device["l2CacheSize"],
        driver=cupy.cuda.runtime.driverGetVersion(),
        runtime=cupy.cuda.runtime.runtimeGetVersion(),
        cupy=cupy.__version__,
        torch=torch.__version__,
        cudnn=torch.backends.cudnn.version(),
        numpy=np.__version__,
    )


def compile_all(products: str) -> None:
    """Compile every kernel: the seconds that a first command waits, and the kernels that spill registers."""
    kernels: Any = CupyEngine("cuda", products=products).kernels
    names = [name for file in instances(kernels.products).values() for name in file]
    begin = time.perf_counter()
    kernels.compiler.load(names)
    seconds = time.perf_counter() - begin
    driver = kernels.xp.cuda.driver
    size = driver.CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES
    local = {name: driver.funcGetAttribute(size, kernels.compiler.function(name).ptr) for name in names}
    tell(products=products, kernels=len(names), seconds=seconds, spilled={n: b for n, b in local.items() if b})


def first_step_on_cpu(size: Size) -> tuple[float, np.ndarray]:
    """Loss and gradient of the same step by the NumPy engine."""
    engine = lk.backend("numpy")
    net = Conv4(size.image[2], engine=engine)
    z, saved = net.forward(pixels(size)[episodes(size, 1)[0]].astype("f4") / np.float32(255))
    support, query = (np.repeat(np.arange(size.way), k) for k in (size.shot, size.query))
    result = episode_loss(engine, LeakySquaredEuclidean(), z, support, query, size.way)
    return float(result.loss), np.asarray(net.backward(saved, result.dz))


def against_cpu(products: str) -> None:
    """Loss and gradients at the three sizes against the CPU, and whether bits repeat. SGD's first velocity is the
    gradient."""
    engine = CupyEngine("cuda", products=products)
    for size in SIZES:
        records, gradients = [], []
        for _ in range(3):
            optimizer = SGD(1e-3)
            ours = OurStep(engine, size, LeakySquaredEuclidean(), optimizer=optimizer)
            records.append(ours.step(episodes(size, 1)[0]))
            gradients.append(engine.to_host(optimizer.slots["velocity"]))
        loss, gradient = first_step_on_cpu(size)
        parts = zip(ours.net.parts(gradients[0]).items(), ours.net.parts(gradient).values(), strict=True)
        tell(
            products=products,
            size=str(size),
            bits_repeat=all(np.array_equal(a, b[0]) for b in (records, gradients) for a in b),
            record=records[0].tolist(),
            loss_on_cpu=loss,
            gradient_error=relative_error(gradients[0], gradient),
            errors={name: relative_error(a, b) for (name, a), b in parts},
        )


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """|a - b| / |b|, by Euclidean norms."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def race(*words: str) -> None:
    """Ratios to PyTorch at the three sizes, the hardest first. Words: tf32, for both sides; compile, for torch.compile
    in place of eager PyTorch and without the floors. CuPy reads its flag of TF32 once: one process for each."""
    from leakysm_benchmarks.torch_conv4 import GPU_FORMS, TorchStep  # the other parts do without PyTorch

    tf32, compiled, metric = "tf32" in words, "compile" in words, LeakySquaredEuclidean()
    first, *variants = ("tf32",) if tf32 else ("float32", "split")
    for size in (SIZES[2], SIZES[0], SIZES[1]):
        begin = time.perf_counter()
        ours = OurStep(CupyEngine("cuda", products=first), size, metric)
        players: list[Contender] = [ours]
        for products in variants:
            engine = CupyEngine("cuda", products=products)
            players.append(OurStep(engine, size, metric, f"leakysm, {products} products", "variant"))
        try:
            players.append(TorchStep(size, GPU_FORMS[compiled], metric, tf32=tf32, device="cuda:0"))
        except Exception as error:  # a compiler that fails costs this peer, not the others
            tell(size=str(size), failed=repr(error))
        if not compiled:
            players += [Products(ours.engine, size), Traffic(ours.engine, size)]
        times = take_turns(players, episodes(size, 20), rounds=12, warm_up=2)
        for row in comparisons(players, times, str(size)):
            tell(tf32=tf32, compiled=compiled, **asdict(row))
        tell(size=str(size), seconds=time.perf_counter() - begin)
        del players, ours


def carve_out() -> None:
    """Ratios of our step to itself where all kernels divide L1 and shared memory alike.

    If each divides it in its own way, those beside the main line may have to wait for it.
    """
    metric = LeakySquaredEuclidean()
    for size in SIZES:
        players: list[Contender] = [OurStep(CupyEngine("cuda"), size, metric)]
        for percent in (75, 100):
            engine = CupyEngine("cuda")
            divide_memory(engine.kernels, percent)
            players.append(OurStep(engine, size, metric, f"leakysm, {percent} % shared memory", "variant"))
        times = take_turns(players, episodes(size, 20), rounds=12, warm_up=2)
        for row in comparisons(players, times, str(size)):
            tell(**asdict(row))


def divide_memory(kernels: Any, percent: int) -> None:
    """Ask the driver to make this much of L1 shared memory, for every kernel."""
    driver = kernels.xp.cuda.driver
    for names in instances(kernels.products).values():
        kernels.compiler.load(names)
        for name in names:
            function = kernels.compiler.function(name)
            driver.funcSetAttribute(function.ptr, driver.CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, percent)


def once(products: str, which: str) -> None:
    """One step launch by launch: profilers and sanitizers see no nodes of a graph. which: small, or 0, 1, 2."""
    engine = CupyEngine("cuda", products=products)
    kernels: Any = engine.kernels

    def program(launches: list[Launch], given: Any, result: Any) -> Callable[[], None]:
        def run() -> None:
            given[0][...] = engine.asarray(given[1])
            for launch in launches:
                kernels.start(*launch[:4])
            result[1][...] = engine.to_host(result[0])

        return run

    kernels.program = program
    size = SMALL if which == "small" else SIZES[int(which)]
    record = OurStep(engine, size, LeakySquaredEuclidean()).step(episodes(size, 1)[0])
    engine.synchronize()
    tell(products=products, size=str(size), record=record.tolist())


PARTS: dict[str, Callable[..., None]] = {
    "environment": environment,
    "compile": compile_all,
    "against-cpu": against_cpu,
    "race": race,
    "carve-out": carve_out,
    "once": once,
}

if __name__ == "__main__":
    try:
        PARTS[sys.argv[1]](*sys.argv[2:])
    except (lk.UserError, ImportError) as error:
        sys.exit(f"Error: {error}")
