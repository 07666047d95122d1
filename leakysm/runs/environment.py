"""What a run was made with: versions, processor, linear algebra, devices."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

from leakysm.cores import usable_cores

PACKAGES = ("numpy", "h5py", "array-api-compat", "threadpoolctl", "pillow", "matplotlib", "typer")


def environment() -> dict[str, Any]:
    """Plain values for JSON. Looks at the devices, and so imports CuPy where it is installed."""
    return {
        "leakysm": importlib.metadata.version("leakysm"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": processor(),
        "cores": usable_cores(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "linear_algebra": linear_algebra(),
        "cuda": cuda_devices(),
    }


def processor() -> str:
    """The processor's name as the system tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def linear_algebra() -> list[dict[str, Any]]:
    """The matrix-product libraries that NumPy loaded: name, version, threads."""
    import numpy  # noqa: F401  loads the libraries
    from threadpoolctl import threadpool_info

    found = [info for info in threadpool_info() if info["user_api"] == "blas"]
    return [
        {
            "name": i["internal_api"],
            "version": i["version"],
            "threads": i["num_threads"],
            "kernels": i.get("architecture"),
        }
        for i in found
    ]


def cuda_devices() -> list[str] | str:
    """The GPUs' names, or in words why there are none."""
    from leakysm.backends.cupy.engine import device_count, import_cupy
    from leakysm.errors import UserError

    try:
        cupy = import_cupy()
        count = device_count(cupy)
    except UserError as error:
        return str(error)
    names = [cupy.cuda.runtime.getDeviceProperties(i)["name"].decode() for i in range(count)]
    return names or "CuPy is installed, but no device was found"


def data_found() -> dict[str, Any]:
    """The cache folder, and the data sets that need no fetching or preparing any more: files and folders in it."""
    from leakysm.data.cache import cache_folder

    folder = cache_folder()
    there = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []
    return {"cache_folder": str(folder), "found": ["strokes (built in)", *there]}
