"""The kernels, run on the CPU, held to the same bounds as every other implementation, adversarial cases included."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leakysm.backends.cupy.kernels import compile_options
from leakysm.verify.adapters.engine import EngineImplementation
from leakysm.verify.conformance import OWN_DTYPES, ExpectedFailure, Settings, conform
from tests.backends.cupy.host_kernels import HostEngine, HostKernels

STRICT = Settings(dtypes=OWN_DTYPES, strict=True, examples=2, most_numbers=150)  # emulated threads are slow


OPERATIONS = sorted(HostEngine(HostKernels.nowhere()).pairs)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_within_the_bounds(host_kernels, operation):
    """Read-only and strided arrays, exact zeros, the left derivative at the threshold; float16 by the reference."""
    engine = HostEngine(host_kernels)
    settings = replace(STRICT, most_numbers=400) if "conv" in operation else STRICT  # their kernels need 4 channels
    report = conform(EngineImplementation(engine), operations=[operation], settings=settings)
    assert [row.status for row in report.rows] == ["passed"], [row.problem for row in report.rows]
    assert engine.kernels.launched


FLAGS = {"contracted": ("-ffp-contract=fast", "-mfma"), "flushing": ("-DLEAKYSM_HOST_FLUSH",)}
NO_DIRECTION = ExpectedFailure(
    "cosine_distance/subnormal/float32/*", "a flushed row has no direction: why kernels do not"
)


def test_kernels_are_compiled_with_small_numbers():
    assert not any("ftz" in option for option in compile_options())


@pytest.mark.parametrize("build", FLAGS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_within_the_bounds_in_another_arithmetic(kernel_folder, operation, build):
    """A GPU's compiler contracts a product and a sum to one rounding; and it might flush small numbers to 0."""
    if platform.machine() != "x86_64" or " fma " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("the processor has no such arithmetic")
    engine = HostEngine(HostKernels(kernel_folder, flags=FLAGS[build]))
    settings = replace(STRICT, dtypes=("float32",), examples=1, most_numbers=100, purity=False)
    expected = [NO_DIRECTION] if (operation, build) == ("cosine_distance", "flushing") else []
    report = conform(EngineImplementation(engine), operations=[operation], settings=settings, expected=expected)
    assert report.ok, [row.problem for row in report.rows]


@pytest.mark.parametrize("operation", ["squared_euclidean", "leaky_squared_euclidean", "cross_entropy", "prototypes"])
def test_the_order_of_threads_and_blocks_does_not_matter(kernel_folder, operation):
    random = np.random.default_rng(0)
    x, c = (random.normal(size=(n, 37)).astype("float32") for n in (19, 35))
    arguments = {"cross_entropy": (x, np.arange(19)), "prototypes": (x, np.arange(19) % 7, 7)}.get(operation, (x, c))
    parameters = {"threshold": 60.0, "slope": 0.1} if operation.startswith("leaky") else {}
    results = []
    for descending in (False, True):
        pair = HostEngine(HostKernels(kernel_folder, descending=descending)).operation(operation)
        y, saved = pair.forward(*arguments, **parameters)
        dy = random.normal(size=y.shape).astype("float32") if not results else results[0][0]
        gradients = pair.backward(saved, dy)
        results.append((dy, y, *(gradients if isinstance(gradients, tuple) else (gradients,))))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
