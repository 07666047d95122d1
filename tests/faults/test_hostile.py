"""Files that somebody made to do harm, and the smallest ones that broke a promise: refused in one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin

from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError
from tests.data.own_images import read_for_net
from tests.faults.hostile import HOSTILE, Hostile
from tests.faults.mutants import postscript
from tests.faults.outcomes import REFUSED, SAME, Outcome, read_apart
from tests.faults.search import Reader

PROCESSOR = 2  # seconds of processor time for a file of a few bytes
SECONDS = 10.0  # for a reader that waits for ever for a FIFO


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


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("FIFO", "config.toml"),
        ("FIFO", "checkpoint"),
        ("FIFO", "pickle"),
        ("FIFO", "own image"),
        ("device", "checkpoint"),
        ("device", "own image"),
        ("folder", "weights .npz"),
    ],
)
def test_what_is_no_file_is_refused(reader_of: Callable[[str], Reader], kind: str, name: str) -> None:
    assert instead(reader_of(name), kind).kind in (REFUSED, SAME)


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
        read_for_net([image], InputFormat.unscaled((16, 16, 1)))
    assert not started.exists()
