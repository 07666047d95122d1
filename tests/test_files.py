"""Files that are whole or not there, whoever else writes them."""

from __future__ import annotations

import concurrent.futures
import os
import uuid
from pathlib import Path

import pytest

from leakysm.errors import UserError
from leakysm.files import (
    LOCKS,
    create_atomically,
    read_file,
    remove_leftovers,
    temporary_folder,
    write_atomically,
    write_new,
)
from leakysm.locks import locked


def test_of_many_writers_one_is_last_and_its_content_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([i]) * 100_000 for i in range(16)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_atomically(path, content), contents))
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("links", [True, False])
def test_only_one_of_many_creates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:

        def refused(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "file"
    create_atomically(path, b"first")
    with pytest.raises(FileExistsError):
        create_atomically(path, b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]


def test_a_failure_leaves_the_old_content_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"file: cannot be written \(No space left on device\)"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_leftovers_of_the_killed_go_and_nothing_else(tmp_path: Path) -> None:
    one, other = (f".{name}.{uuid.uuid4().hex}.tmp" for name in ("file", "other"))
    for name in (one, other, ".file.12ab.tmp", "file", "file.tmp"):
        (tmp_path / name).write_bytes(b"")
    with locked(tmp_path / other, wait=False) as held:  # its writer is alive
        assert held
        write_atomically(tmp_path / "file", b"")
    assert sorted(os.listdir(tmp_path)) == sorted([other, ".file.12ab.tmp", "file", "file.tmp"])
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([".file.12ab.tmp", "file", "file.tmp"])


@pytest.mark.skipif(not LOCKS, reason="a locked file takes no other name")
def test_a_leftover_of_a_file_that_has_its_name_goes_though_it_is_locked(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    os.link(tmp_path / "file", tmp_path / f".file.{uuid.uuid4().hex}.tmp")
    with locked(tmp_path / "file", wait=False):
        remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_a_new_file_replaces_nothing_else(tmp_path: Path) -> None:
    for _ in range(2):
        write_new(tmp_path / "file", b"mine")
    for name, words in (("file", "exists already and holds something else"), ("", "is a folder")):
        with pytest.raises(UserError, match=words):
            write_new(tmp_path / name, b"other")
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_file_in_place_of_the_folder_is_told_without_the_temporary_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "x.json"
    with pytest.raises(UserError, match=rf"^{target}: cannot be written \(Not a directory\)"):
        write_atomically(target, b"")


def test_a_folder_that_is_gone_is_to_be_made_again(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"x: cannot be written \(No such file or directory\); make its folder, or choo"
    ):
        write_atomically(tmp_path / "gone" / "x", b"")


def test_a_file_that_cannot_be_read_is_named_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "five").write_bytes(b"12345")
    assert read_file(tmp_path / "five", most=5, mend="mend") == b"12345"
    expected = {
        "five": "five has 5 bytes, expected at most 4; mend",
        "none": "none does not exist; mend",
        "": "is a folder, and a file is expected; mend",
        "five/x": "five/x cannot be read (Not a directory); mend",
    }
    for name, message in expected.items():
        with pytest.raises(UserError) as caught:
            read_file(tmp_path / name, most=4, mend="mend")
        assert str(caught.value).endswith(message)


@pytest.mark.skipif(os.name != "posix", reason="there is no device without an end")
def test_neither_devices_nor_pipes_are_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="/dev/zero is a device, and a file is expected"):
        read_file(Path("/dev/zero"), most=4, mend="mend")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is a pipe, and a file is expected; mend"):
        read_file(tmp_path / "pipe", most=4, mend="mend")


@pytest.mark.skipif(not LOCKS, reason="a folder cannot be locked")
def test_a_temporary_folder_of_the_killed_goes_and_one_in_use_stays(tmp_path: Path) -> None:
    left = tmp_path / f".copy.{uuid.uuid4().hex}.tmp"
    (left / "inner").mkdir(parents=True)
    with temporary_folder(tmp_path / "copy") as folder:
        remove_leftovers(tmp_path)
        assert [*tmp_path.iterdir()] == [folder]
    assert [*tmp_path.iterdir()] == []
