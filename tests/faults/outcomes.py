"""What a reader did with a file, sorted."""

from __future__ import annotations

import dataclasses
import hashlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.warm import Ended, Task, Warm

PROCESSOR = 10  # seconds of processor time that a reader may take
SECONDS = 60.0  # of a clock, for one that waits for ever; the machine may be busy
MEMORY = 512 << 20  # bytes that it may take beyond the imports

REFUSED, SAME, OTHER = "refused", "same", "another result"
TRACEBACK, HANG, CRASH, OUT_OF_MEMORY, LONG = "traceback", "hang", "crash", "out of memory", "not one line"
BROKEN = (TRACEBACK, HANG, CRASH, OUT_OF_MEMORY, LONG)


@dataclass(frozen=True)
class Outcome:
    """kind: one of the above. said: the refusal, or the error. at: the error's type, and where in our files it arose.
    digest: of the result. peak: bytes."""

    kind: str
    said: str = ""
    at: str = ""
    digest: str = ""
    peak: int = 0


def read_here(format_name: str, folder: str) -> Outcome:
    """In a child: read, and say what came of it, as the command line would tell it."""
    from leakysm_cli.main import told

    from tests.faults.formats import FORMATS

    try:
        return Outcome(SAME, digest=digest_of(FORMATS[format_name].read(Path(folder))))
    except MemoryError as error:
        return Outcome(OUT_OF_MEMORY, str(error)[:200], _at(error))
    except Exception as error:
        try:
            line, _ = told(error)
        except Exception:
            return Outcome(TRACEBACK, f"{error}"[:200], _at(error))
        if "MemoryError" in line:  # told as damage, but it was the limit that stopped the reader
            return Outcome(OUT_OF_MEMORY, line[:300], _at(error))
        return Outcome(LONG if len(line) > 2000 else REFUSED, line[:300])


def sort_out(ended: Ended, expected: str, processor: int = PROCESSOR) -> Outcome:
    """The outcome of a child. expected: digest of the undamaged file's result; processor: its limit in seconds."""
    if ended.timed_out or (ended.status < 0 and ended.processor > processor - 0.5):
        return Outcome(HANG, f"{ended.processor:.0f} s of processor time", peak=ended.peak)
    found = ended.value
    if not isinstance(found, Outcome):
        return Outcome(CRASH, f"status {ended.status}: {ended.err[-200:]}", f"status {ended.status}", peak=ended.peak)
    kind = OTHER if found.kind == SAME and expected and found.digest != expected else found.kind
    return dataclasses.replace(found, kind=kind, peak=ended.peak)


def read_apart(
    warm: Warm,
    format_name: str,
    folder: Path,
    expected: str = "",
    *,
    seconds: float = SECONDS,
    processor: int = PROCESSOR,
) -> Outcome:
    """The reader of that format on `folder`, in a child with limits, which may be set lower."""
    task = Task(
        "tests.faults.outcomes:read_here",
        (format_name, str(folder)),
        {"LEAKYSM_CACHE": str(folder.parent / "cache")},
        memory=MEMORY,
        processor=processor,
        quick=True,
    )
    return sort_out(warm.run(task, seconds), expected, processor)


def _at(error: BaseException) -> str:
    """The error's type, and the last of our functions that it passed."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "/leakysm/" in frame.filename]
    ours = [frame for frame in ours if "/tests/" not in frame.filename]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "no file of ours"
    return f"{type(error).__name__} in {where}"


def digest_of(value: Any) -> str:
    """SHA-256 of arrays, texts, numbers, and what holds them."""
    total = hashlib.sha256()
    _add(total, value)
    return total.hexdigest()


def _add(total: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        total.update(f"array {value.dtype} {value.shape} ".encode())
        total.update(np.ascontiguousarray(value).tobytes() if value.dtype != object else repr(value.tolist()).encode())
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            total.update(field.name.encode())
            _add(total, getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key in value:
            total.update(f"key {key!r} ".encode())
            _add(total, value[key])
    elif isinstance(value, list | tuple):
        total.update(f"{len(value)} of ".encode())
        for item in value:
            _add(total, item)
    else:
        total.update(f"{value!r} ".encode())
