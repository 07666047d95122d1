"""NumPy's BLAS: its threads while our own work, and its kernels."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
from threadpoolctl import threadpool_info

from leakysm.backends.numpy.blas import single_threaded_blas
from leakysm.backends.numpy.threads import Workers

# What another package brings along later, SciPy say, is not NumPy's to use.
AT_HAND = [library["filepath"] for library in threadpool_info() if library["user_api"] == "blas"]


def blas_threads() -> list[int]:
    """How many threads each BLAS library has that was loaded with NumPy."""
    loaded = {library["filepath"]: library["num_threads"] for library in threadpool_info()}
    return [loaded[path] for path in AT_HAND if "numpy" in path] or [loaded[path] for path in AT_HAND]


def test_blas_has_one_thread_while_there_is_work_and_its_own_again_after():
    before = blas_threads()
    found = Workers(2).map(lambda _: blas_threads(), range(4))
    assert found == [[1] * len(before)] * 4
    assert blas_threads() == before


def test_work_within_work_keeps_blas_to_one_thread():
    before = blas_threads()
    with single_threaded_blas:
        Workers(2).map(abs, range(4))
        assert blas_threads() == [1] * len(before)
    assert blas_threads() == before


@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="the kernels are those of x86 processors")
def test_kernels_of_avx2_do_not_multiply_in_place():
    code = "import numpy; from leakysm.backends.numpy.blas import multiplies_in_place; print(multiplies_in_place())"
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Haswell"}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "False"
