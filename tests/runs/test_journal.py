"""Journals: rows that survive, and exactly those of the checkpoint after a resumption."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.errors import UserError
from leakysm.runs.journal import REQUIRED_COLUMNS, Journal, read_metrics, rows_up_to

COLUMNS = ("episode", "loss")


def written(path: Path, rows: int) -> tuple[int, str]:
    """A journal of so many rows; its length and SHA-256."""
    with Journal(path, COLUMNS) as journal:
        for i in range(1, rows + 1):
            journal.append((i, 1 / i))
        return journal.size, journal.digest


@given(values=st.lists(st.floats(width=32)))
def test_every_float32_is_read_back_exactly(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    path = tmp_path_factory.mktemp("run") / "metrics.csv"
    with Journal(path, ("value",)) as journal:
        for value in values:
            journal.append((value,))
    back = np.array([float(line) for line in path.read_text().splitlines()[1:]], np.float32)
    assert np.array_equal(back, np.array(values, np.float32), equal_nan=True)


def test_a_row_is_in_the_file_at_once_and_none_is_an_empty_field(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with Journal(path, COLUMNS) as journal:
        journal.append((1, None))
        assert path.read_text() == "episode,loss\n1,\n"
        assert (journal.size, journal.digest) == (16, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("beyond", [b"", b"3,0.3", b"3,0.333333333\n4,0.25\n", b"\xff\n"])
def test_rows_beyond_the_checkpoint_go_and_the_rest_stays(tmp_path: Path, beyond: bytes) -> None:
    whole, path = tmp_path / "whole.csv", tmp_path / "metrics.csv"
    written(whole, 4)
    size, digest = written(path, 2)
    path.write_bytes(path.read_bytes() + beyond)
    with Journal(path, COLUMNS, size=size, digest=digest) as journal:
        journal.append((3, 1 / 3))
        journal.append((4, 1 / 4))
        assert journal.digest == hashlib.sha256(whole.read_bytes()).hexdigest()
    assert path.read_bytes() == whole.read_bytes()


def test_a_file_with_other_columns_goes_on_with_its_own(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with Journal(path, ("episode", "gone", "loss")) as journal:
        journal.append((1, 7, 0.5))
        size, digest = journal.size, journal.digest
    with Journal(path, ("episode", "loss", "new"), size=size, digest=digest) as journal:
        journal.append((2, 0.25, 9))
    assert path.read_text() == "episode,gone,loss\n1,7,0.5\n2,,0.25\n"


def test_a_field_that_is_no_number_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(f"{','.join(REQUIRED_COLUMNS)}\n1{',' * (len(REQUIRED_COLUMNS) - 1)}\n")
    assert np.isnan(read_metrics(path)["loss"]).all()
    path.write_text(path.read_text().replace("1,", "1,abc", 1))
    with pytest.raises(UserError, match=r"damaged \(could not convert string to float: 'abc'\)"):
        read_metrics(path)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:-2] + b"9\n", lambda b: b""])
def test_a_damaged_beginning_is_refused_and_left_alone(tmp_path: Path, damage) -> None:
    path = tmp_path / "metrics.csv"
    size, digest = written(path, 3)
    content = damage(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(UserError, match="cut short or altered"):
        Journal(path, COLUMNS, size=size, digest=digest)
    assert path.read_bytes() == content


@given(rows=st.integers(0, 12), episode=st.integers(0, 14), torn=st.booleans())
def test_the_rows_up_to_an_episode(
    tmp_path_factory: pytest.TempPathFactory, rows: int, episode: int, torn: bool
) -> None:
    folder = tmp_path_factory.mktemp("run")
    path = folder / "timing.csv"
    written(path, rows)
    if torn:
        path.write_bytes(path.read_bytes() + b"13,0.0")
    assert rows_up_to(path, episode) == written(folder / "expected.csv", min(rows, episode))


@pytest.mark.parametrize("damage", [b"x,1\n", b"\xff\n", b"\n", b"-1,2\n", b"1.5,2\n", b"\0\0\0\n"])
def test_rows_end_at_damage(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "timing.csv"
    expected = written(path, 2)
    path.write_bytes(path.read_bytes() + damage + b"3,0.1\n")
    assert rows_up_to(path, 9) == expected
    path.write_bytes(damage + b"1,0.1\n")  # not even a header
    assert rows_up_to(path, 9) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told() -> None:
    with pytest.raises(UserError, match=r"/dev/full: cannot be written \(No space left on device\); make room"):
        Journal(Path("/dev/full"), COLUMNS)


def test_no_journal_has_no_rows(tmp_path: Path) -> None:
    assert rows_up_to(tmp_path / "timing.csv", 3) == (0, "")
