from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.data.cache import cache_folder, cached, digest_of
from leakysm.data.dataset import ClassSet
from leakysm.errors import UserError


def splits(seed: int = 0) -> dict[str, ClassSet]:
    images = np.random.default_rng(seed).integers(0, 256, (5, 3, 2, 1), dtype=np.uint8)
    one = ClassSet(images, np.array([0, 2, 5]), ("a", "b"))
    return {"train": one, "alpha": one.slice(1, 2)}


class Builder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, ClassSet]:
        self.calls += 1
        return splits()


def assert_same(found: dict[str, ClassSet], expected: dict[str, ClassSet]) -> None:
    assert list(found) == list(expected)
    for name, one in found.items():
        np.testing.assert_array_equal(one.images, expected[name].images)
        np.testing.assert_array_equal(one.starts, expected[name].starts)
        assert one.names == expected[name].names


def test_built_once_and_read_back_in_the_same_order(own_cache: Path) -> None:
    build = Builder()
    first, digest = cached("x", "checksum", build)
    second, again = cached("x", "checksum", build)
    assert build.calls == 1
    assert digest == again
    assert_same(first, splits())
    assert_same(second, splits())
    assert [file.suffix for file in own_cache.iterdir()] == [".h5"]


def test_another_name_or_checksum_is_another_file(own_cache: Path) -> None:
    build = Builder()
    for name, checksum in (("x", "1"), ("y", "1"), ("x", "2")):
        cached(name, checksum, build)
    assert build.calls == 3
    assert len([*own_cache.iterdir()]) == 3


@pytest.mark.parametrize("part", [0, 0.3, 0.6, 0.99])
def test_a_file_cut_short_is_made_anew(own_cache: Path, part: float) -> None:
    build = Builder()
    cached("x", "1", build)
    (file,) = own_cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: int(part * len(whole))])
    assert_same(cached("x", "1", build)[0], splits())
    assert build.calls == 2
    assert_same(cached("x", "1", build)[0], splits())
    assert build.calls == 2


def test_one_altered_pixel_or_name_is_noticed(own_cache: Path) -> None:
    build = Builder()
    cached("x", "1", build)
    (file,) = own_cache.iterdir()
    for part, change in (("images", np.uint8(1)), ("starts", np.int64(1))):
        with h5py.File(file, "r+") as h5:
            h5[f"train/{part}"][1] = h5[f"train/{part}"][1] + change
        before = build.calls
        assert_same(cached("x", "1", build)[0], splits())
        assert build.calls == before + 1
    with h5py.File(file, "r+") as h5:
        h5["train/names"][0] = "z"
    assert_same(cached("x", "1", build)[0], splits())
    assert build.calls == 4


def test_a_failed_build_leaves_nothing(own_cache: Path) -> None:
    def fail() -> dict[str, ClassSet]:
        raise UserError("no")

    with pytest.raises(UserError):
        cached("x", "1", fail)
    assert not own_cache.exists()


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="set LEAKYSM_CACHE to a folder"):
        cached("x", "1", splits, tmp_path / "file")


def _race(folder: Path, barrier: object, results: object) -> None:
    for round_ in range(8):
        barrier.wait()  # type: ignore[attr-defined]
        found, digest = cached("x", f"{round_}", splits, folder)
        results.put((digest, found["train"].images.sum()))  # type: ignore[attr-defined]


def test_processes_that_start_together_all_get_the_data(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_race, args=(tmp_path, barrier, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = {results.get(timeout=60) for _ in range(24)}
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(found) == 1
    assert len([*tmp_path.iterdir()]) == 8


def test_folder_comes_from_argument_then_own_variable_then_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKYSM_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder("/c") == Path("/c")
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("LEAKYSM_CACHE")
    assert cache_folder() == Path("/b/leakysm")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "leakysm"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's folders")
@pytest.mark.parametrize("xdg", [None, "", "/b", "/b/c/"])
@pytest.mark.parametrize("home", [None, "/h", "/h/"])
def test_on_linux_it_is_where_it_always_was(xdg: str | None, home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LEAKYSM_CACHE": None, "XDG_CACHE_HOME": xdg, "HOME": home}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert cache_folder() == Path(xdg or Path.home() / ".cache") / "leakysm"


@pytest.mark.usefixtures("without_home")
@pytest.mark.parametrize(("chosen", "told"), [(None, "folder"), ("~/c", "folder ~/c"), ("~nobody-here/c", "folder ~n")])
def test_without_a_home_folder_the_mend_is_told(chosen: str | None, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if chosen:
        monkeypatch.setenv("LEAKYSM_CACHE", chosen)
    with pytest.raises(UserError, match=rf"^the cache {told}.*none is known; set LEAKYSM_CACHE to the full path"):
        cache_folder()
    assert cache_folder("/c") == Path("/c")


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_different_lists_have_different_digests(one: list[str], other: list[str]) -> None:
    assert (digest_of(*one) == digest_of(*other)) == (one == other)
