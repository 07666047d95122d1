"""A write that fails, or a kill at it, loses nothing: one line, no leftovers, the next run ends with the same bytes."""

from __future__ import annotations

import pytest

from tests.faults.commands import CASES, Commands
from tests.faults.shim import DISK


@pytest.mark.parametrize(
    ("command", "kind", "at"),
    [
        ("train", "full", 9),
        ("resume", "broken", 3),
        ("prepare", "broken", 4),
        ("vectors", "full", 3),
        ("export", "kill", 4),
        ("resize", "kill", 20),
        ("keep", "kill", 14),
    ],
)
def test_a_fault_loses_nothing(commands: Commands, command: str, kind: str, at: int) -> None:
    assert commands.lost(CASES[command], at, kind) is None


def test_a_journal_that_cannot_be_synced_ends_in_one_line(commands: Commands) -> None:
    assert commands.lost(CASES["train"], 1, "broken", call="fsync", name="metrics.csv") is None


def test_a_sweep_killed_before_a_run_is_listed_lists_it(commands: Commands) -> None:
    assert commands.lost(CASES["sweep"], 1, "kill", call="rename", name="manifest.json") is None


def test_a_run_that_fails_when_all_is_written_counts_as_finished(commands: Commands) -> None:
    """Nothing of its failure stays."""
    assert commands.lost(CASES["sweep"], 1, "broken", call="close", name="timing.csv") is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", DISK)
@pytest.mark.parametrize("command", CASES)
def test_no_fault_at_any_call_loses_anything(commands: Commands, command: str, kind: str) -> None:
    case = CASES[command]
    commands.reference(case)
    lost = [commands.lost(case, at, kind) for at in range(1, commands.calls[command] + 1)]
    assert [text for text in lost if text] == []
