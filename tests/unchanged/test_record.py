"""The comparison itself: what it tells, and what it leaves out on another machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unchanged import record
from tests.unchanged.differences import differences
from tests.unchanged.looked import Looked

THEN = Looked({"a": 1, "text": "x\ny\n", "list": [1, 2]}, {"bits": "12"}, {"kernels": "Haswell"})


def compared(now: Looked) -> tuple[list[str], str]:
    return record.compare("item", {"item": THEN.to_json()}, now)


def test_the_same_gives_no_line() -> None:
    assert compared(THEN) == ([], "")


@pytest.mark.parametrize(
    ("now", "line"),
    [
        ({"a": 2}, "item, a: was 1, is 2"),
        ({"a": 1.0}, "item, a: was 1, is 1.0"),
        ({"a": True}, "item, a: was 1, is True"),
        ({"text": "x\nz\n"}, "item, text: was 'y', is 'z'"),
        ({"text": "x\ny"}, "item, text: was '', is None"),
        ({"list": [1, 3]}, "item, list[1]: was 2, is 3"),
        ({"list": [1]}, "item, list: was [1, 2], is [1]"),
        ({"new": 0}, "item, new: is new, 0"),
    ],
)
def test_a_difference_is_one_line(now: dict[str, object], line: str) -> None:
    assert compared(Looked({**THEN.everywhere, **now}, THEN.here, THEN.on)) == ([line], "")


def test_what_is_gone_is_told() -> None:
    assert list(differences({"a": 1, "b": 2}, {"b": 2})) == ["a: is gone, was 1"]
    assert compared(Looked(THEN.everywhere)) == (["item: was {'bits': '12'}, is None"], "")
    assert record.compare("item", {}, THEN) == (["item: is not in the record"], "")


def test_bits_are_compared_on_such_a_machine_alone() -> None:
    assert compared(Looked(THEN.everywhere, {"bits": "34"}, THEN.on)) == (["item, bits: was '12', is '34'"], "")
    lines, why = compared(Looked({**THEN.everywhere, "a": 2}, {"bits": "34"}, {"kernels": "Zen"}))
    assert (lines, why) == (["item, a: was 1, is 2"], "kernels is Zen, the record's is Haswell")


def test_the_command_prints_the_differences_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr(record, "ITEMS", {"item": None})
    monkeypatch.setattr(record, "look", lambda name: THEN)
    record.write()
    assert json.loads(record.RECORD.read_text("utf-8")) == {"item": THEN.to_json()}
    assert (record.report(), capsys.readouterr().out) == (0, "")
    monkeypatch.setattr(record, "look", lambda name: Looked({**THEN.everywhere, "a": 0}, THEN.here, THEN.on))
    assert (record.report(), capsys.readouterr().out) == (1, "item, a: was 1, is 0\n")
    monkeypatch.setattr(record, "ITEMS", {})
    assert (record.report(), capsys.readouterr().out) == (1, "item: is recorded, and no longer looked at\n")
