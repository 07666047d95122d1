"""The CuPy engine: the operations on one CUDA device, and what a user is told where there is none."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from leakysm.backends.cupy.device import CudaKernels
from leakysm.backends.cupy.fused import fused_pairs
from leakysm.backends.cupy.plain import plain_pairs
from leakysm.backends.cupy.step import Images, TrainingStep
from leakysm.backends.protocol import Array, Engine, Pair
from leakysm.errors import UserError

OLDEST = (7, 5)  # the oldest compute capability that the compilers of both CUDA 12 and CUDA 13 build for
OLDEST_TENSOR_CORES = (8, 0)  # that take TF32
EXTRAS = "install the extra that fits the driver: leakysm[cuda13] or leakysm[cuda12]"
NO_DEVICE = {35: "cudaErrorInsufficientDriver", 100: "cudaErrorNoDevice"}  # what a machine without a GPU answers


def import_cupy() -> Any:
    """The cupy module, or a UserError that names the extra to install."""
    try:
        import cupy
    except ImportError as error:
        raise UserError(
            f"device cuda: CuPy cannot be imported ({error}); the GPU needs it: pip install 'leakysm[cuda13]', or "
            "'leakysm[cuda12]' for a driver of CUDA 12, or use --device cpu"
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
    """How many CUDA devices there are; 0 where there is no driver. An error of any other kind is told as it is."""
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
            f"expected{purpose}: use another GPU, {'neither tf32 nor split, ' if purpose else ''}or --device cpu"
        )
    cupy.cuda.Device(number).use()


def one_line(error: BaseException) -> str:
    """An error's message in one line."""
    return " ".join(str(error).split())


def told_in_one_line(cupy: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, with the device's own errors (no memory, a failed launch) as UserErrors of one line."""

    @functools.wraps(call)
    def guarded(*arguments: Any, **keywords: Any) -> Any:
        try:
            return call(*arguments, **keywords)
        except cupy.cuda.memory.OutOfMemoryError as error:
            raise UserError(
                f"out of memory on the device ({one_line(error)}); use a smaller way, shot or query, smaller images, "
                "or a device that nothing else uses"
            ) from None
        except (NotImplementedError, RecursionError):  # RuntimeErrors of Python's own
            raise
        except RuntimeError as error:  # what CuPy's modules raise, plain or of their own kinds
            if "failed to load" in str(error):
                raise UserError(f"CuPy misses a library ({one_line(error)}); {EXTRAS}") from None
            raise UserError(
                f"the CUDA device failed ({one_line(error)}); its state is lost: run the command again, with --resume "
                "if a checkpoint was written"
            ) from None
        except cupy.cuda.compiler.CompileException as error:
            raise UserError(
                f"the kernels cannot be compiled for this device ({one_line(error)[:300]}); {EXTRAS}"
            ) from None

    return guarded


class CupyEngine(Engine):
    """The operations on one CUDA device.

    device: None, "cuda", "cuda:N" or N. tf32: matrix products may round their factors to TF32 (off: strict float32);
    CuPy reads its own flag once, so choose before the process's first product. split: float32 products of four
    channels and more on the tensor cores, of factors split into parts, within the bounds of float32. fused: our own
    kernels; without them the plain path, which the tests compare them with, and which splits nothing.
    UserError, in one line: no CuPy, no device, a device that is too old, no memory left.
    """

    name = "cupy"

    def __init__(
        self, device: str | int | None = None, *, tf32: bool = False, split: bool = False, fused: bool = True
    ) -> None:
        number = device_number(device)
        os.environ["CUPY_TF32"] = str(int(tf32))
        cupy = import_cupy()
        open_device(cupy, number, oldest=OLDEST_TENSOR_CORES if tf32 or split else OLDEST)
        self.xp = cupy
        self.device = number
        self.tf32 = tf32
        self.fused = fused
        self.kernels = CudaKernels(cupy, products="TF32" if tf32 else "SPLIT" if split else "ORDINARY")
        self.pairs = fused_pairs(self.kernels) if fused else plain_pairs(cupy)

    def operation(self, name: str) -> Pair:
        pair = super().operation(name)
        return Pair(told_in_one_line(self.xp, pair.forward), told_in_one_line(self.xp, pair.backward))

    def asarray(self, host: Any, dtype: Any = None) -> Array:
        return told_in_one_line(self.xp, self.xp.asarray)(host, dtype=dtype)

    def to_host(self, array: Array) -> np.ndarray:
        return np.asarray(told_in_one_line(self.xp, self.xp.asnumpy)(array))

    def training_step(
        self,
        net: Any,
        optimizer: Any,
        metric: Any,
        images: tuple[Array, Array, Array],
        *,
        way: int,
        shot: int,
        query: int,
    ) -> Callable[[np.ndarray], np.ndarray] | None:
        if not self.fused:
            return None
        step = TrainingStep(self.kernels, net, optimizer, metric, Images(*images), way=way, shot=shot, query=query)
        return told_in_one_line(self.xp, step.__call__)

    def synchronize(self) -> None:
        told_in_one_line(self.xp, self.xp.cuda.get_current_stream().synchronize)()
