"""The CuPy engine: the operations on one CUDA device, and what a user is told where there is none."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from leakysm.backends.cupy.device import CudaKernels
from leakysm.backends.cupy.failures import EXTRAS, one_line
from leakysm.backends.cupy.kernel_engine import KernelEngine
from leakysm.backends.protocol import Array, Pair
from leakysm.errors import UserError

OLDEST = (7, 5)  # the oldest compute capability that the compilers of both CUDA 12 and CUDA 13 build for
OLDEST_TENSOR_CORES = (8, 0)  # that take TF32
NO_DEVICE = {35: "cudaErrorInsufficientDriver", 100: "cudaErrorNoDevice"}  # what a machine without a GPU answers


def import_cupy() -> Any:
    """The cupy module, or a UserError that names the extra to install."""
    try:
        import cupy
    except ImportError as error:
        raise UserError(
            f"device cuda: CuPy cannot be imported ({error}); the GPU needs it: {EXTRAS}; "
            "or use device cpu and backend numpy"
        ) from None
    return cupy


def device_number(device: str | int | None) -> int:
    """0 for None, "auto" and "cuda", N for "cuda:N" and N; UserError for anything else."""
    if device in (None, "auto", "cuda"):
        return 0
    digits = str(device).removeprefix("cuda:")
    if not (digits.isascii() and digits.isdigit()):
        raise UserError(f"device is {device!r}; the cupy backend expects 'cuda' or 'cuda:N' with N a device's number")
    return int(digits)


def device_count(cupy: Any) -> int:
    """How many CUDA devices there are; 0 where there is no driver. Any other error is reported as it is."""
    try:
        return int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        if error.status in NO_DEVICE:
            return 0
        raise UserError(
            f"device cuda: the CUDA driver fails ({one_line(error)}); see whether nvidia-smi works"
        ) from None


def open_device(cupy: Any, number: int, oldest: tuple[int, int] = OLDEST) -> None:
    """Make device `number` the current one; UserError if it is not there or older than compute capability `oldest`."""
    count = device_count(cupy)
    if count == 0:
        raise UserError(
            "device cuda: no CUDA device was found (no GPU, or no NVIDIA driver that this CuPy can use); "
            "install or update the driver, or use --device cpu"
        )
    if number >= count:
        raise UserError(f"device cuda:{number}: {count} CUDA device(s) were found; expected a number below {count}")
    capability = cupy.cuda.Device(number).compute_capability  # "90" for 9.0
    found = (int(capability[:-1]), int(capability[-1]))
    if found < oldest:
        purpose = " for products on tensor cores" if oldest > OLDEST else ""
        raise UserError(
            f"device cuda:{number}: compute capability {found[0]}.{found[1]}; {oldest[0]}.{oldest[1]} or newer is "
            f"expected{purpose}: use another GPU, {'products float32, ' if purpose else ''}or --device cpu"
        )
    cupy.cuda.Device(number).use()


class CupyEngine(KernelEngine):
    """The operations on one CUDA device.

    device: None, "cuda", "cuda:N" or N. products: one of leakysm.choices.PRODUCTS. "float32" is strict. "split" makes
    those of four channels and more on the tensor cores, of factors split into parts, within the bounds of float32.
    "tf32" rounds all factors to TF32; CuPy reads its own flag once, so choose before the process's first product.
    What our kernels do not take, float64 for example, the reference operations do on the device's arrays. Each call of
    the engine makes its device the current one.
    UserError, in one line: no CuPy, no device, a device that is too old, no memory left.
    """

    def __init__(self, device: str | int | None = None, *, products: str = "float32") -> None:
        number = device_number(device)
        os.environ["CUPY_TF32"] = str(int(products == "tf32"))
        cupy = import_cupy()
        open_device(cupy, number, oldest=OLDEST if products == "float32" else OLDEST_TENSOR_CORES)
        self.device = number
        super().__init__(CudaKernels(cupy, number, products=products.upper()))

    def operation(self, name: str) -> Pair:
        pair = super().operation(name)
        return Pair(self.kernels.told(pair.forward), self.kernels.told(pair.backward))

    def asarray(self, host: Any, dtype: Any = None) -> Array:
        return self.kernels.told(self.xp.asarray)(host, dtype=dtype)

    def to_host(self, array: Array) -> np.ndarray:
        return np.asarray(self.kernels.told(self.xp.asnumpy)(array))

    def synchronize(self) -> None:
        self.kernels.told(lambda: self.xp.cuda.get_current_stream().synchronize())()
