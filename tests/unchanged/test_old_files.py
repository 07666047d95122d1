"""Files that an earlier version wrote still serve."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leakysm.data import load
from leakysm.data.cache import splits_digest
from tests.unchanged import old_files
from tests.unchanged.drawn import draw
from tests.unchanged.looked import elsewhere, machine
from tests.unchanged.runs import FIGURES, SUMMARY, bits, command, form

EXPECTED = json.loads((old_files.OLD / old_files.EXPECTED).read_text("utf-8"))


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the old files."""
    monkeypatch.setenv("LEAKYSM_CACHE", str(tmp_path / old_files.CACHE))
    return old_files.unpack(tmp_path)


def skip_elsewhere() -> None:
    if why := elsewhere(EXPECTED["on"], machine()):
        pytest.skip(f"bits not compared, all else is the same: {why}")


def test_the_cache_is_read_and_not_made_anew(old: Path) -> None:
    """Under the name that it has here: that depends on the inodes of the pictures, which no copy shares."""
    (file,) = (old / old_files.CACHE).iterdir()
    load("folder", old / "pictures", cache_dir=old / "names")
    (named,) = (old / "names").iterdir()
    file.rename(file.with_name(named.name))
    before = sorted((old / old_files.CACHE).iterdir())
    read: list[int] = []
    data = load("folder", old / "pictures", report=lambda done, total: read.append(done))
    assert not read, "the pictures were read again"
    assert sorted((old / old_files.CACHE).iterdir()) == before
    assert data.digest == json.loads((old / "finished" / SUMMARY).read_text("utf-8"))["data_digest"]
    drawn = load("folder", draw(old / "drawn"), cache_dir=old / "another")
    assert splits_digest(data.splits) == splits_digest(drawn.splits) == data.digest


def test_a_run_that_was_stopped_goes_on(old: Path) -> None:
    command("train", "--out", old / "stopped", "--resume", "--data", old / "pictures")
    resumed, finished = form(old / "stopped"), form(old / "finished")
    assert resumed["summary"].pop("closeness"), "what an earlier version did not write"
    finished["summary"].pop("closeness")
    assert resumed == finished
    skip_elsewhere()
    resumed, finished = bits(old / "stopped"), bits(old / "finished")
    assert resumed | {"closeness": None} == finished


@pytest.mark.parametrize("run", ["stopped", "finished"])
def test_a_run_is_evaluated(old: Path, run: str) -> None:
    found, expected = old_files.evaluated(old, run), EXPECTED["evaluate"][run]
    figures = {name: found.pop(name) for name in FIGURES}
    assert figures | found == {name: figures.get(name, value) for name, value in expected.items()}
    skip_elsewhere()
    assert figures == {name: expected[name] for name in FIGURES}


def test_a_test_is_added_to_a_finished_run(old: Path) -> None:
    """Which reads its summary and the accuracy of each test episode."""
    before = json.loads((old / "finished" / SUMMARY).read_text("utf-8"))
    command("evaluate", old / "finished", "--data", old / "pictures", "--way", 4, "--keep")
    after = json.loads((old / "finished" / SUMMARY).read_text("utf-8"))
    assert after["tests"][:-1] == before["tests"]
    assert {**after, "tests": []} == {**before, "tests": []}


def test_old_files_are_never_made_again(capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in old_files.OLD.rglob("*")}
    assert old_files.make() == 2
    assert "never made again" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in old_files.OLD.rglob("*")} == before
