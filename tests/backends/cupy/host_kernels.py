"""The kernels compiled for the CPU by g++, behind the same `launch` as on a GPU. For tests only."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.backends.cupy.kernel_engine import KernelEngine
from leakysm.backends.cupy.kernels import FOLDER, Kernels, Launch, Tiling, compile_options, instances, source

HEADER = Path(__file__).with_name("host_cuda.h")
FLAGS = ["-O2", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Wextra", "-Wno-unknown-pragmas"]
C_TYPES = {"int32": ctypes.c_int, "float32": ctypes.c_float, "uint64": ctypes.c_ulonglong}


def compile_library(file: Path, names: list[str], folder: Path, extra: Sequence[str] = ()) -> Path:
    """The shared library of one .cu file, compiled once and kept by the digest of all that goes into it."""
    unit = f'#include "{HEADER}"\n{source(file)}'
    unit += "".join(f"HOST_LAUNCH({i}, {name})\n" for i, name in enumerate(names))
    flags = [*FLAGS, *compile_options(), *extra]  # the options hold a digest of the sources
    digest = hashlib.sha256((unit + file.read_text() + HEADER.read_text() + " ".join(flags)).encode()).hexdigest()
    library = folder / f"{file.stem}-{digest[:16]}.so"
    with Path(folder, "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be at it
        if not library.exists():
            cpp = library.with_suffix(".cpp")
            cpp.write_text(unit)
            command = ["g++", *flags, "-o", library.with_suffix(".part"), cpp]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert not done.stderr, f"g++ warns:\n{done.stderr}"
            library.with_suffix(".part").rename(library)
    return library


class HostKernels(Kernels):
    """Launches on NumPy arrays.

    Two choices must not change a result. descending: blocks and threads run in the opposite order. late: the side
    branch of a program runs only when its main branch waits for it. flags: further options for g++.
    """

    xp = np

    def __init__(
        self,
        folder: Path,
        *,
        products: str = "FLOAT32",
        tiling: Tiling = Tiling(),  # noqa: B008 - it is frozen
        descending: bool = False,
        late: bool = False,
        flags: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.late = late
        self.products = products
        self.tiling = tiling
        self.flags = flags
        self.descending = descending
        self.launched: list[str] = []
        self.functions: dict[str, Any] = {}
        self.files = {name: file for file, names in instances(products).items() for name in names}

    @classmethod
    def nowhere(cls) -> HostKernels:
        """Kernels that are never launched."""
        return cls(Path())

    def host_buffer(self, size: int, dtype: Any) -> np.ndarray:
        return np.empty(size, dtype)

    def program(self, launches: list[Launch], given: Any, result: Any) -> Callable[[], None]:
        ordered = as_late_as_can_be(launches) if self.late else launches

        def run() -> None:
            given[0][...] = given[1]
            for launch in ordered:
                self.start(*launch[:4])
            result[1][...] = result[0]

        return run

    def address(self, array: np.ndarray) -> int:
        return array.ctypes.data

    def function(self, name: str) -> Any:
        if name not in self.functions:
            file = self.files[name]
            names = instances(self.products)[file]
            library = ctypes.CDLL(str(compile_library(FOLDER / file, names, self.folder, self.flags)))
            self.functions.update({n: library[f"launch_{i}"] for i, n in enumerate(names)})
        return self.functions[name]

    def start(self, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        self.launched.append(name)
        values = [_c_value(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        shape = (ctypes.c_uint * 6)(*grid, *block)
        assert self.function(name)(shape, pointers, int(self.descending)) == 0, f"{name}: threads part at a barrier"


def as_late_as_can_be(launches: list[Launch]) -> list[Launch]:
    """The other extreme of the orders that a program allows."""
    ordered: list[Launch] = []
    waiting: list[Launch] = []
    for launch in launches:
        if launch.beside:
            waiting.append(launch)
            continue
        if launch.joins:
            ordered += waiting
            waiting = []
        ordered.append(launch)
    return ordered + waiting


def _c_value(argument: Any) -> Any:
    if argument is None:
        return ctypes.c_void_p(0)
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous, "a kernel's array is not contiguous"
        return ctypes.c_void_p(argument.ctypes.data)
    return C_TYPES[argument.dtype.name](argument)


class HostEngine(KernelEngine):
    """The CuPy engine's operations on NumPy arrays."""
