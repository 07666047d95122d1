"""Files that are whole or not there, whoever else writes them."""

from __future__ import annotations

import concurrent.futures
import os
from pathlib import Path

import pytest

from leakysm.errors import UserError
from leakysm.files import create_atomically, remove_leftovers, write_atomically


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
    for name in (".file.12ab.tmp", ".file.34cd.tmp", ".other.12ab.tmp", "file", "file.tmp"):
        (tmp_path / name).write_bytes(b"")
    remove_leftovers(tmp_path / "file")
    assert sorted(os.listdir(tmp_path)) == [".other.12ab.tmp", "file", "file.tmp"]


def test_a_file_in_place_of_the_folder_is_told_without_the_temporary_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "x.json"
    with pytest.raises(UserError, match=rf"^{target}: cannot be written \(Not a directory\)"):
        write_atomically(target, b"")
