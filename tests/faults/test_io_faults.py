"""A write that fails, or a kill at it, loses nothing: one line, no leftovers, the next run ends with the same bytes."""

from __future__ import annotations

import pytest

from tests.faults.commands import CASES, Commands
from tests.faults.shim import DISK

HDF5 = "HDF5 writes the cache's file itself: where that fails the interpreter ends by SIGSEGV or in a traceback"
LEFT = "the temporary file of a killed process stays: only a run's own folder is cleared of them"
SYNC = "an error of fsync has no file's name, and ends in a traceback"


def broken(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(reason=reason, strict=True)


@pytest.mark.parametrize(
    ("command", "kind", "at"),
    [
        ("train", "full", 9),
        ("train", "kill", 60),
        ("resume", "full", 20),
        ("sweep", "kill", 80),
        ("prepare", "full", 1),
        pytest.param("prepare", "broken", 16, marks=broken(HDF5)),
        pytest.param("prepare", "kill", 10, marks=broken(LEFT)),
        ("vectors", "full", 3),
        ("vectors", "broken", 8),
        pytest.param("vectors", "kill", 11, marks=broken(LEFT)),
        ("export", "broken", 5),
        pytest.param("export", "kill", 4, marks=broken(LEFT)),
    ],
)
def test_a_fault_loses_nothing(commands: Commands, command: str, kind: str, at: int) -> None:
    assert commands.lost(CASES[command], at, kind) is None


@broken(SYNC)
def test_a_journal_that_cannot_be_synced_ends_in_one_line(commands: Commands) -> None:
    assert commands.lost(CASES["train"], 1, "broken", call="fsync", name="metrics.csv") is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", DISK)
@pytest.mark.parametrize("command", CASES)
def test_no_fault_at_any_call_loses_anything(commands: Commands, command: str, kind: str) -> None:
    """Today it names the faults above at their every call."""
    case = CASES[command]
    commands.reference(case)
    lost = [commands.lost(case, at, kind) for at in range(1, commands.calls[command] + 1)]
    assert [text for text in lost if text] == []
