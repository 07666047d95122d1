"""Kernels compiled by nvrtc, several at once, and kept on disk.

Not by `cupy.RawModule`, which adds -ftz=true to every option that it is given: numbers below the smallest normal one
would become 0. CuPy's own kernels, those of the reference operations on its arrays, still flush them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from leakysm.backends.cupy.kernels import compile_options, source
from leakysm.cores import usable_cores
from leakysm.errors import UserError
from leakysm.files import read_file, write_atomically

MOST_WORKERS = 8


def tell_terminal(line: str) -> None:
    """The line on stderr, where that is a terminal."""
    if sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)


class Unit(NamedTuple):
    """Kernels that are compiled together: an instance of a template alone, the other kernels of a file together."""

    file: str
    names: tuple[str, ...]


class Compiler:
    """Kernels of the current device by C++ name. files: all names by .cu file."""

    def __init__(self, cupy: Any, files: dict[str, list[str]]) -> None:
        self.cupy = cupy
        self.folder = Path(os.path.expanduser(os.environ.get("CUPY_CACHE_DIR", "~/.cupy/kernel_cache")))  # as CuPy
        self.functions: dict[str, Any] = {}
        self.units: dict[str, Unit] = {}
        for file, names in files.items():
            plain = tuple(name for name in names if "<" not in name)
            self.units |= {name: Unit(file, plain if name in plain else (name,)) for name in names}

    def function(self, name: str) -> Any:
        """The loaded kernel."""
        if name not in self.functions:
            self.load([name])
        return self.functions[name]

    def load(self, names: Iterable[str]) -> None:
        """Load these kernels; those that are not kept on disk are compiled, several at once."""
        wanted = list(dict.fromkeys(self.units[name] for name in names if name not in self.functions))
        if not wanted:
            return
        device = self.cupy.cuda.Device()
        compiled = {unit: read_kernels(self._path(unit, device)) for unit in wanted}
        missing = [unit for unit, kept in compiled.items() if kept is None]
        if missing:
            count = sum(len(unit.names) for unit in missing)
            tell_terminal(f"compiling {count} kernels for the GPU: once for this version and device")

            def compile_here(unit: Unit) -> Compiled:
                self.cupy.cuda.Device(device.id).use()  # a thread begins with device 0
                return self._compile(unit)

            with ThreadPoolExecutor(min(len(missing), MOST_WORKERS, usable_cores())) as workers:
                compiled |= zip(missing, workers.map(compile_here, missing), strict=True)
        for unit, ready in compiled.items():
            assert ready is not None
            if unit in missing:
                keep(self._path(unit, device), ready)
            module = self.cupy.cuda.function.Module()
            module.load(ready.code)
            self.functions |= {name: module.get_function(ready.lowered[name]) for name in unit.names}

    def _compile(self, unit: Unit) -> Compiled:
        """Compile for the current device, by nvrtc."""
        compile_using_nvrtc = self.cupy.cuda.compiler.compile_using_nvrtc
        code, lowered = compile_using_nvrtc(source(unit.file), compile_options(), name_expressions=unit.names)
        return Compiled(lowered, code)

    def _path(self, unit: Unit, device: Any) -> Path:
        """Where the compiled kernels are kept: by all that goes into them."""
        versions = (self.cupy.__version__, *self.cupy.cuda.nvrtc.getVersion())
        parts = (unit, source(unit.file), compile_options(), device.compute_capability, versions)
        return self.folder / f"leakysm-{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}.bin"


class Compiled(NamedTuple):
    """Machine code, and what each kernel is called in it."""

    lowered: dict[str, str]
    code: bytes


def keep(path: Path, compiled: Compiled) -> None:
    """Write a line of JSON with names and the code's digest, then the code; nothing if it cannot be written."""
    head = {"names": compiled.lowered, "sha256": hashlib.sha256(compiled.code).hexdigest()}
    with suppress(OSError, UserError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(head).encode() + b"\n" + compiled.code)


def read_kernels(path: Path) -> Compiled | None:
    """What `keep` was given, or None where there is no such file, or a damaged one."""
    try:
        head, _, code = read_file(path, mend="remove it").partition(b"\n")
        known = json.loads(head)
        return Compiled(known["names"], code) if hashlib.sha256(code).hexdigest() == known["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
