"""Progress lines: the time left is told when enough is done to know it."""

import pytest
from leakysm_cli.progress import PERIOD, Lines


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
