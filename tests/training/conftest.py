"""Fixtures of a tiny run, and of the GPU's kernels run on the CPU."""

from tests.backends.cupy.conftest import host_kernels, kernel_folder  # noqa: F401
from tests.tiny_run import config, data, make_data  # noqa: F401
