"""The environment of a run: versions, processor, linear algebra, devices."""

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
    """The processor's name, from the operating system."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def linear_algebra() -> list[dict[str, Any]]:
    """The matrix-product libraries that NumPy loaded: name, version, threads."""
    import numpy  # noqa: F401  loads the libraries
    from threadpoolctl import threadpool_info

    return [
        {
            "name": library["internal_api"],
            "version": library["version"],
            "threads": library["num_threads"],
            "kernels": library.get("architecture"),
        }
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]


def cuda_devices() -> list[str] | str:
    """The GPUs' names; or a sentence that says why there are none."""
    from leakysm.backends.cupy.engine import device_count, import_cupy
    from leakysm.errors import UserError

    try:
        cupy = import_cupy()
        count = device_count(cupy)
    except UserError as error:
        return str(error).removeprefix("device cuda: ")
    names = [cupy.cuda.runtime.getDeviceProperties(i)["name"].decode() for i in range(count)]
    return names or "CuPy is installed, but no device was found"


def data_found() -> dict[str, Any]:
    """The cache folder, and the files and folders in it: data sets that are fetched or prepared already."""
    from leakysm.data.cache import known_cache_folder

    folder = known_cache_folder()
    files = folder.iterdir() if folder and folder.is_dir() else ()
    there = sorted(file.name for file in files if not file.name.startswith("."))
    place = str(folder) if folder else "none: there is no home folder, and LEAKYSM_CACHE is not set"
    return {"cache_folder": place, "found": ["strokes (built in)", *there]}
