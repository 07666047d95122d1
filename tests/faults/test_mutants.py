"""Whatever is altered in a file, its reader refuses it in one line, or reads it: no traceback, hang, crash or bomb."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.formats import FORMATS
from tests.faults.outcomes import Outcome
from tests.faults.search import Reader, Tried, tried
from tests.faults.warm import Warm

# What is broken today, by format; test_hostile.py has the smallest input of each mechanism. Mend one, take it out.
CHECKPOINT = {f"traceback {kind}Error" for kind in ("Attribute", "Index", "Key", "OS", "Overflow", "Type", "Value")}
PARSERS = {
    "traceback OverflowError",
    "traceback RecursionError",
    "traceback ValueError",
    "out of memory MemoryError",
    "hang",
}
EVERYWHERE = {"not one line"}  # a refusal quotes what the file holds, at any length
KNOWN = {
    "config.toml": PARSERS,
    "summary.json": {"traceback RecursionError"},
    "test-episodes.h5": {"out of memory MemoryError"},
    "checkpoint, signed anew": {*CHECKPOINT, "out of memory MemoryError"},
    "checkpoint, resumed": {*CHECKPOINT, "traceback UFuncTypeError", "out of memory MemoryError"},
    "embeddings .npy": {"out of memory MemoryError"},
    "labels .npy": {"out of memory MemoryError"},
    "embeddings .h5": {"traceback KeyError", "out of memory MemoryError"},
    "weights .npz": {
        *(f"traceback {kind}Error" for kind in ("Attribute", "Index", "LZMA", "Overflow", "Token", "Value")),
        "out of memory MemoryError",
    },
    "weights .safetensors": {"out of memory MemoryError"},
    "vectors, signed anew": {
        *(f"traceback {kind}Error" for kind in ("Attribute", "Key", "Type", "Value")),
        "out of memory MemoryError",
    },
    "manifest.json": {"traceback RecursionError"},
    "sweep .toml": PARSERS,
    **{name: {"out of memory MemoryError"} for name in ("Omniglot zip", "within-alphabet zip", "images.zip")},
    "label table": {"traceback ValueError"},
    "pickle": {"out of memory UserError", "hang"},
}


@pytest.fixture(scope="module")
def reader_of(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reader]:
    root = tmp_path_factory.mktemp("mutants")
    return lambda name: Reader(warm, FORMATS[name], root)


def mechanism(outcome: Outcome) -> str:
    """Its kind, and the error's type: "traceback KeyError"."""
    return f"{outcome.kind} {outcome.at.partition(' in ')[0]}".strip()


def surprising(reader: Reader, numbers: range) -> list[Tried]:
    """Mutants that break a promise in a way that is not known."""
    known = KNOWN.get(reader.form.name, set()) | EVERYWHERE
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
