"""The kernels' host build, once for all workers of a test run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.backends.cupy.host_kernels import HostKernels


@pytest.fixture(scope="session")
def kernel_folder(tmp_path_factory) -> Path:
    """Where the compiled kernels lie; xdist's workers share it."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed: the kernels cannot be run without a GPU")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "kernels"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def host_kernels(kernel_folder) -> HostKernels:
    return HostKernels(kernel_folder)
