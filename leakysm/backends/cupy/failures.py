"""Failures of a device as messages of one line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from leakysm.errors import UserError

EXTRAS = "run pip install '.[cuda13]', or '.[cuda12]' for a driver of CUDA 12, in leakysm's folder"


def one_line(error: BaseException) -> str:
    """An error's message in one line."""
    return " ".join(str(error).split())


def told_in_one_line(cupy: Any, call: Callable[..., Any], device: int = 0) -> Callable[..., Any]:
    """`call` on this device, which it makes CuPy's current one. The device's own errors become UserErrors.

    These are: no memory, a failed launch, a missing library, a kernel that does not compile.
    """

    @functools.wraps(call)
    def guarded(*arguments: Any, **keywords: Any) -> Any:
        try:
            cupy.cuda.Device(device).use()  # another engine, or another thread, may have chosen another
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
                raise UserError(f"CuPy lacks a library ({one_line(error)}); {EXTRAS}") from None
            raise UserError(
                f"the CUDA device failed ({one_line(error)}); its state is lost: run the command again, with --resume "
                "if a checkpoint was written"
            ) from None
        except cupy.cuda.compiler.CompileException as error:
            raise UserError(
                f"the kernels cannot be compiled for this device ({one_line(error)[:300]}); {EXTRAS}"
            ) from None

    return guarded
