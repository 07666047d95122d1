"""The stand-in for a GPU must itself catch what it is there to catch: races, parting threads, unwritten memory."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leakysm.backends.cupy.kernels import PRODUCTS, dividers, instances
from tests.backends.cupy.host_kernels import HostKernels, compile_library

SOURCE = r"""
#include "common.cuh"

// out[i] = the sum of what its two neighbours wrote; SYNC: with the barrier that this needs.
template <bool SYNC>
__global__ void neighbours(const float* in, float* out) {
    SHARED(shared, Pack<float, 64>);
    const int i = threadIdx.x;
    shared.v[i] = in[i];
    if (SYNC) __syncthreads();
    out[i] = shared.v[(i + 63) % 64] + shared.v[(i + 1) % 64];
}

// Every other thread skips the barrier.
template <class T>
__global__ void parting(T* out) {
    if (threadIdx.x % 2) __syncthreads();
    out[threadIdx.x] = 1;
}

// Copies two values asynchronously, in a group each, and waits until at most GROUPS are under way.
template <int GROUPS>
__global__ void copying(const float* in, float* out) {
    SHARED(shared, Pack<float, 4>);
    for (int i = 0; i < 2; ++i) {
        copy_async<4>(shared.v + i, in + i, true);
        copies_commit();
    }
    copies_wait<GROUPS>();
    for (int i = 0; i < 3; ++i) out[i] = shared.v[i];
}

// quotient and remainder by the fixed divisor of common.cuh.
template <class T>
__global__ void dividing(const T* n, T* quotient, T* remainder, int divisor, Divider by) {
    T q = n[threadIdx.x];
    remainder[threadIdx.x] = by.split(q, divisor);
    quotient[threadIdx.x] = q;
}

// As the tensor cores see a value.
template <class T>
__global__ void rounding(const T* in, unsigned* out) {
    out[threadIdx.x] = host_to_tf32(in[threadIdx.x]);
}
"""
NAMES = [
    "neighbours<true>",
    "neighbours<false>",
    "parting<float>",
    "copying<0>",
    "copying<1>",
    "dividing<int>",
    "rounding<float>",
]


class Planted(HostKernels):
    """HostKernels on the kernels above."""

    def function(self, name):
        source = self.folder / "planted.cu"
        source.write_text(SOURCE)
        library = ctypes.CDLL(str(compile_library(source, NAMES, self.folder)))
        return library[f"launch_{NAMES.index(name)}"]


@pytest.fixture(scope="module")
def planted(kernel_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    return lambda **options: Planted(folder, **options)


def neighbours(kernels, name):
    x, out = np.arange(64, dtype="float32"), np.empty(64, "float32")
    kernels.launch(name, (1,), 64, x, out)
    return out


def test_a_missing_barrier_shows(planted):
    right = np.roll(np.arange(64), 1) + np.roll(np.arange(64), -1)
    for descending in (False, True):
        np.testing.assert_array_equal(neighbours(planted(descending=descending), "neighbours<true>"), right)
    forwards, backwards = (neighbours(planted(descending=d), "neighbours<false>") for d in (False, True))
    assert not np.array_equal(forwards, backwards, equal_nan=True)


def test_parting_threads_show(planted):
    with pytest.raises(AssertionError, match="threads part at a barrier"):
        planted().launch("parting<float>", (1,), 64, np.empty(64, "float32"))


@pytest.mark.parametrize(("groups", "arrived"), [(0, 2), (1, 1)])
def test_a_copy_that_nobody_waits_for_and_unwritten_memory_show(planted, groups, arrived):
    out = np.empty(3, "float32")
    planted().launch(f"copying<{groups}>", (1,), 1, np.array([5, 6], "float32"), out)
    np.testing.assert_array_equal(np.isnan(out), np.arange(3) >= arrived)


LARGEST = 2**31 - 1


@given(st.integers(1, LARGEST), st.lists(st.integers(0, LARGEST), min_size=1, max_size=20))
@example(1, [0, 1, LARGEST])
@example(LARGEST, [0, LARGEST - 1, LARGEST])
@example(2**30, [2**30 - 1, 2**30, LARGEST])
@example(3, [2, 3, LARGEST, LARGEST - 1])
@example(2**30 + 1, [2**30, 2**30 + 1, LARGEST])
def test_division_by_a_fixed_divisor_is_exact(planted, divisor, numbers):
    n = np.array(
        [*numbers, divisor, divisor - 1, LARGEST // divisor * divisor, LARGEST // divisor * divisor - 1], "int32"
    )
    quotient, remainder = np.empty_like(n), np.empty_like(n)
    planted().launch("dividing<int>", (1,), n.size, n, quotient, remainder, divisor, *dividers(divisor))
    np.testing.assert_array_equal(quotient, n // divisor)
    np.testing.assert_array_equal(remainder, n % divisor)


def test_rounding_to_tf32(planted):
    """Ten bits after the point, ties away from zero; inf and NaN stay."""
    half = 2.0**-11
    given = np.array([1, 1 + half, 1 - half / 2, -1 - half, 1 + half * 0.999, 3.5, np.inf, -np.inf, np.nan], "float32")
    seen = np.empty(given.size, "uint32")
    planted().launch("rounding<float>", (1,), given.size, given, seen)
    expected = np.array([1, 1 + 2 * half, 1, -1 - 2 * half, 1, 3.5, np.inf, -np.inf, np.nan], "float32")
    np.testing.assert_array_equal(seen.view("float32"), expected)


def run_guarded(code, *arguments):
    return subprocess.run([sys.executable, *code, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("side", [pytest.param("before", marks=pytest.mark.slow), "after"])
def test_no_kernel_leaves_its_arrays(kernel_folder, side):
    done = run_guarded(["-m", "tests.backends.cupy.guarded"], kernel_folder, side)
    last = done.stdout.splitlines()[-1:]
    assert done.returncode == 0, f"ended by signal {-done.returncode} in {last}: {done.stderr[-2000:]}"
    ran = set(done.stdout.split("\n"))
    every = {name for products in PRODUCTS for names in instances(products).values() for name in names}
    assert every - ran == set()


@pytest.mark.parametrize("side", ["before", "after"])
def test_leaving_an_array_ends_the_process(tmp_path, kernel_folder, side):
    step = {"before": -1, "after": 3}[side]
    code = "import numpy as np, ctypes\nfrom tests.backends.cupy.guarded import guarded_copy\n"
    code += f"a = guarded_copy(np.ones(3, 'float32'), '{side}')\n"
    code += "print(float(ctypes.c_float.from_address(a.ctypes.data + 4 * {}).value))"
    assert run_guarded(["-c", code.format(2)]).stdout == "1.0\n"
    assert run_guarded(["-c", code.format(step)]).returncode == -signal.SIGSEGV


def test_an_empty_grid_starts_nothing(planted):
    kernels = planted()
    kernels.launch("parting<float>", (0, 3), 64, None)
    assert kernels.launched == []
