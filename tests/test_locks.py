"""Locks between processes, and between this release and those that called flock themselves."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from leakysm.locks import locked

HOLD = """
import sys, time
from pathlib import Path
from leakysm.locks import locked
with locked(Path(sys.argv[1]), wait=False) as held:
    print(held, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


@contextmanager
def another_process(file: Path) -> Iterator[subprocess.Popen[str]]:
    """One that holds the lock."""
    with subprocess.Popen([sys.executable, "-c", HOLD, file], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "True\n"
            yield process
        finally:
            process.kill()


def taken(file: Path) -> bool:
    with locked(file, wait=False) as held:
        return not held


def test_one_holds_it_and_a_killed_process_lets_go(file: Path) -> None:
    with another_process(file) as process:
        assert taken(file)
        process.kill()
        process.wait()
        assert not taken(file)


def test_waiting_ends_when_the_other_lets_go(file: Path) -> None:
    got = Event()

    def wait() -> None:
        with locked(file, wait=True) as held:
            assert held
            got.set()

    waiting = Thread(target=wait)
    with locked(file, wait=False):
        waiting.start()
        assert not got.wait(0.3)
    assert got.wait(60)
    waiting.join()


def test_who_is_refused_frees_nothing_and_an_error_inside_frees_it(file: Path) -> None:
    with locked(file, wait=False):
        assert taken(file)
        assert taken(file)
    with pytest.raises(OSError, match="inside"), locked(file, wait=False):
        raise OSError("inside")
    assert not taken(file)


def test_the_content_stays_and_nothing_is_left_beside_it(file: Path) -> None:
    before = file.stat().st_mtime_ns
    with locked(file, wait=False):
        assert file.read_bytes() == b"content"
    assert [*file.parent.iterdir()] == ([file] if sys.platform != "win32" else [file, file.with_name("file.lock")])
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (b"content", before)


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    with locked(tmp_path / "new", wait=True) as held:
        assert held
    assert (tmp_path / "new").read_bytes() == b""


def test_on_windows_the_file_itself_stays_free_to_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakysm.locks.sys", SimpleNamespace(platform="win32"))
    with locked(file, wait=False) as held:
        assert held
        assert taken(file)
        assert file.read_bytes() == b"content"
    assert file.with_name("file.lock").read_bytes() == b""


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO, 524, errno.ENOSYS])
@pytest.mark.parametrize("wait", [False, True])
def test_a_file_system_without_locks_goes_without(
    file: Path, number: int, wait: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def without(*_: object) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", without)
    with locked(file, wait=wait) as held:
        assert held
    assert [*file.parent.iterdir()] == [file]
