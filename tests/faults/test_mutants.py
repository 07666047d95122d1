"""Whatever is altered in a file, its reader refuses it in one line, or reads it: no traceback, hang, crash or bomb."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.formats import FORMATS
from tests.faults.outcomes import Outcome
from tests.faults.search import Reader, Tried, tried
from tests.faults.warm import Warm

# What is broken today, by format; test_hostile.py has the smallest input of each mechanism. Mend one, take it out.
KNOWN: dict[str, set[str]] = {}


@pytest.fixture(scope="module")
def reader_of(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reader]:
    root = tmp_path_factory.mktemp("mutants")
    return lambda name: Reader(warm, FORMATS[name], root)


def mechanism(outcome: Outcome) -> str:
    """Its kind, and the error's type: "traceback KeyError"."""
    return f"{outcome.kind} {outcome.at.partition(' in ')[0]}".strip()


def surprising(reader: Reader, numbers: range) -> list[Tried]:
    """Mutants that break a promise in a way that is not known."""
    known = KNOWN.get(reader.form.name, set())
    return [m for m in tried(reader, numbers) if reader.broken(m.outcome) and mechanism(m.outcome) not in known]


@pytest.mark.parametrize("name", FORMATS)
def test_mutants(reader_of: Callable[[str], Reader], name: str) -> None:
    """A few of each; fewer where reading is training."""
    assert surprising(reader_of(name), range(4 if name.endswith("resumed") else 12)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_mutants(reader_of: Callable[[str], Reader], name: str) -> None:
    """10,000 in all."""
    assert surprising(reader_of(name), range(12, 12 + 10_000 // len(FORMATS))) == []
