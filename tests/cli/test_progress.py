"""Progress lines: the time left is told when enough is done to know it."""

from contextlib import nullcontext

import pytest
from leakysm_cli import progress
from leakysm_cli.progress import PERIOD, Lines

from leakysm.runs import Progress


def test_no_time_is_left_before_a_twentieth_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("leakysm_cli.progress.monotonic", lambda: now[0])
    lines = Lines(last=0.0)
    told = []
    for done in (0, 4, 5):
        now[0] += PERIOD
        lines.show("training", done, 100)
        told.append(capsys.readouterr().err)
    assert told[1] == "training: 4 of 100, 0.1/s\n"
    assert told[2].endswith(" left\n")


def test_the_mean_of_a_resumed_run_begins_with_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[str] = []
    monkeypatch.setattr(progress, "_rows", lambda: nullcontext(lambda *row: rows.append(row[-1])))
    with progress.shown_run() as report:
        for done in (501, 502):
            report(Progress("train", done, 600, loss=2.0, accuracy=50.0))
    assert rows == ["loss 2.000  accuracy 50.0 %"] * 2
