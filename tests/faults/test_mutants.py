"""Whatever is altered in a file, its reader refuses it in one line, or reads it: no traceback, hang, crash or bomb."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.formats import FORMATS
from tests.faults.outcomes import Outcome
from tests.faults.search import Reader, Tried, tried

# What is broken today, by format; test_hostile.py has the smallest input of each mechanism. Mend one, take it out.
KNOWN: dict[str, set[str]] = {}


def mechanism(outcome: Outcome) -> str:
    """Its kind, and the error's type: "traceback KeyError"."""
    return f"{outcome.kind} {outcome.at.partition(' in ')[0]}".strip()


def surprising(reader: Reader, numbers: range) -> list[Tried]:
    """Mutants that break a promise in a way that is not known."""
    known = KNOWN.get(reader.form.name, set())
    return [m for m in tried(reader, numbers) if reader.broken(m.outcome) and mechanism(m.outcome) not in known]


@pytest.mark.parametrize("name", FORMATS)
def test_mutants(reader_of: Callable[[str], Reader], name: str) -> None:
    """Three of each; one where reading is training."""
    assert surprising(reader_of(name), range(1 if name.endswith("resumed") else 3)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_mutants(reader_of: Callable[[str], Reader], name: str) -> None:
    """10,000 in all."""
    assert surprising(reader_of(name), range(3, 3 + 10_000 // len(FORMATS))) == []
