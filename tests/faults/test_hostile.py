"""Files that somebody made to do harm, and the smallest ones that broke a promise: refused in one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin

from leakysm.data.images import read_for_net
from leakysm.errors import UserError
from tests.faults.formats import FORMATS
from tests.faults.hostile import HOSTILE, Hostile
from tests.faults.mutants import postscript
from tests.faults.outcomes import REFUSED, SAME, Outcome, read_apart
from tests.faults.search import Reader
from tests.faults.warm import Warm

PROCESSOR = 2  # seconds of processor time for a file of a few bytes
SECONDS = 10.0  # for a reader that waits for ever for a FIFO


@pytest.fixture(scope="module")
def reader_of(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reader]:
    root, readers = tmp_path_factory.mktemp("hostile"), dict[str, Reader]()

    def of(name: str) -> Reader:
        if name not in readers:
            readers[name] = Reader(warm, FORMATS[name], root)
        return readers[name]

    return of


def _parameter(hostile: Hostile) -> object:
    marks = pytest.mark.xfail(reason=hostile.reason, strict=True) if hostile.reason else ()
    return pytest.param(hostile, id=f"{hostile.format}: {hostile.name}", marks=marks)


@pytest.mark.parametrize("hostile", [_parameter(one) for one in HOSTILE])
def test_is_refused_in_one_line(reader_of: Callable[[str], Reader], hostile: Hostile) -> None:
    reader = reader_of(hostile.format)
    outcome = reader.read(hostile.make(reader.content), processor=PROCESSOR)
    assert outcome.kind == REFUSED, outcome


def instead(reader: Reader, kind: str) -> Outcome:
    """What the reader does with a FIFO, a device without end or a folder in the file's place."""
    reader.place.renew()
    path = reader.place.folder / reader.form.file
    path.unlink(missing_ok=True)
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    seconds = SECONDS if kind == "FIFO" else 60.0
    outcome = read_apart(reader.warm, reader.form.name, reader.place.folder, reader.expected, seconds=seconds)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return outcome


OPENED = ("config.toml", "checkpoint", "embeddings .h5", "weights .npz", "pickle", "own image")  # each in its own way
HELD = {("device", "embeddings .h5"), ("device", "pickle"), ("device", "own image"), *(("folder", n) for n in OPENED)}
UNGUARDED = "files are opened without a look at what they are"


def _no_file(kind: str, name: str) -> object:
    marks = [] if (kind, name) in HELD else [pytest.mark.xfail(reason=UNGUARDED, strict=True)]
    waits = kind == "FIFO" and name not in ("checkpoint", "own image")  # these two tell of the others
    return pytest.param(kind, name, marks=[*marks, pytest.mark.slow] if waits else marks)


@pytest.mark.parametrize(
    ("kind", "name"), [_no_file(kind, name) for kind in ("FIFO", "device", "folder") for name in OPENED]
)
def test_what_is_no_file_is_refused(reader_of: Callable[[str], Reader], kind: str, name: str) -> None:
    assert instead(reader_of(name), kind).kind in (REFUSED, SAME)


@pytest.mark.xfail(strict=True, reason="Pillow is not told which formats to open, and starts Ghostscript")
def test_an_image_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An EPS file named x.png, and a `gs` of ours on PATH."""
    gs, started = tmp_path / "gs", tmp_path / "started"
    gs.write_text(f"#!/bin/sh\ntouch {started}\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    image = tmp_path / "x.png"
    image.write_bytes(postscript(b"", np.random.default_rng(0))[0])
    with pytest.raises(UserError):
        read_for_net([image], image_shape=(16, 16, 1), ink=False)
    assert not started.exists()
