"""The shim that makes write-like calls fail: compiled where it is needed, told by a file what to do."""

from __future__ import annotations

import ctypes
import mmap
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
COMPILER = shutil.which("gcc")
KINDS = ("nothing", "full", "broken", "kill", "interrupt", "terminate", "hang up")
DISK = KINDS[1:4]
_LAYOUT = struct.Struct("<4q32s224s32s1024s1024s")


@dataclass(frozen=True)
class Fault:
    """What is to fail: call number `at` of those under `folder`, counted from 1. With 0 none fails; they are counted.

    kind: "full" is ENOSPC for this call and for every later one that takes room; a write of more than one byte first
    writes half. "broken" is EIO, once. "kill" is SIGKILL, "interrupt" SIGINT, "terminate" SIGTERM, "hang up" SIGHUP.
    call: only calls of this kind, e.g. "fsync". name: only paths that contain this.
    """

    folder: Path
    at: int = 0
    kind: str = "nothing"
    call: str = ""
    name: str = ""


@dataclass(frozen=True)
class Struck:
    """How many calls there were, and where it struck: "write", path; empty where it did not."""

    calls: int
    call: str
    path: str


def compiled(folder: Path) -> Path:
    """The shim's library, in `folder`."""
    assert COMPILER
    library = folder / "shim.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    return library


def write_plan(file: Path, fault: Fault) -> None:
    """What the processes that use `file` are to do."""
    file.write_bytes(
        _LAYOUT.pack(
            fault.at,
            KINDS.index(fault.kind),
            0,
            0,
            fault.call.encode(),
            fault.name.encode(),
            b"",
            b"",
            str(fault.folder).encode(),
        ).ljust(mmap.PAGESIZE, b"\0")
    )


def read_plan(file: Path) -> Struck:
    """What became of it."""
    _, _, calls, struck, _, _, call, path, _ = _LAYOUT.unpack(file.read_bytes()[: _LAYOUT.size])
    texts = [text.split(b"\0")[0].decode() for text in (call, path)] if struck else ["", ""]
    return Struck(calls, *texts)


def use_plan(file: str) -> None:
    """In a process with the shim: begin to count. Processes that it starts find the plan in FAULTS_PLAN."""
    ctypes.CDLL(None).faults_use(file.encode())
