"""The kernels compiled for the CPU by g++, behind the same `launch` as on a GPU. For tests only."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.backends.cupy.kernels import FOLDER, Kernels, instances, sources_digest

HEADER = Path(__file__).with_name("host_cuda.h")
FLAGS = ["-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Wextra", "-Wno-unknown-pragmas"]
C_TYPES = {"int32": ctypes.c_int, "float32": ctypes.c_float, "float64": ctypes.c_double, "int64": ctypes.c_longlong}


def build(file: str, names: list[str], folder: Path) -> Path:
    """The shared library of one .cu file, compiled once and kept by the digest of all that goes into it."""
    unit = f'#include "{HEADER}"\n#include "{FOLDER / file}"\n'
    unit += "".join(f"HOST_LAUNCH({i}, {name})\n" for i, name in enumerate(names))
    digest = hashlib.sha256((unit + HEADER.read_text() + sources_digest()).encode()).hexdigest()[:16]
    library = folder / f"{Path(file).stem}-{digest}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            source, made = Path(scratch, "unit.cpp"), Path(scratch, "unit.so")
            source.write_text(unit)
            done = subprocess.run(["g++", *FLAGS, "-o", made, source], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert not done.stderr, f"g++ warns:\n{done.stderr}"
            os.replace(made, library)
    return library


class HostKernels(Kernels):
    """Launches on NumPy arrays. descending: blocks and threads run in the opposite order, which must not matter."""

    xp = np

    def __init__(self, folder: Path, *, tf32: bool = False, descending: bool = False) -> None:
        self.folder = folder
        self.tf32 = tf32
        self.descending = descending
        self.launched: list[str] = []
        self.functions: dict[str, Any] = {}
        self.files = {name: file for file, names in instances(tf32).items() for name in names}

    def address(self, array: np.ndarray) -> int:
        return array.ctypes.data

    def function(self, name: str) -> Any:
        if name not in self.functions:
            file = self.files[name]
            names = instances(self.tf32)[file]
            library = ctypes.CDLL(str(build(file, names, self.folder)))
            self.functions.update({n: library[f"launch_{i}"] for i, n in enumerate(names)})
        return self.functions[name]

    def start(self, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        self.launched.append(name)
        values = [_c_value(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        shape = (ctypes.c_uint * 6)(*grid, *block)
        assert self.function(name)(shape, pointers, int(self.descending)) == 0, f"{name}: threads part at a barrier"


def _c_value(argument: Any) -> Any:
    if argument is None:
        return ctypes.c_void_p(0)
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous, "a kernel's array is not contiguous"
        return ctypes.c_void_p(argument.ctypes.data)
    return C_TYPES[argument.dtype.name](argument)
