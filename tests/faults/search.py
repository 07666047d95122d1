"""Alter files of every format, read them, and count what came of it. By hand:

python -m tests.faults.search                            # 10,000, of all formats
python -m tests.faults.search --format "own image" --mutants 2000 --first 5000
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.faults.formats import FORMATS, Format, Place
from tests.faults.mutants import mutate
from tests.faults.outcomes import BROKEN, OTHER, PROCESSOR, REFUSED, SAME, Outcome, read_apart
from tests.faults.warm import Task, Warm


@dataclass(frozen=True)
class Tried:
    """A mutant: its number, what was altered, and what its reader did."""

    number: int
    what: str
    outcome: Outcome


class Reader:
    """A format's mutants, read one after another in children of `warm`."""

    def __init__(self, warm: Warm, form: Format, root: Path) -> None:
        self.warm, self.form, self.place = warm, form, Place(form, root)
        if not self.place.kept.exists():
            made = warm.run(Task("tests.faults.formats:begin", (form.name, str(self.place.kept)), quick=True))
            assert made.status == 0, made.err
        self.content = self.place.content()
        self.place.put(self.content)
        undamaged = read_apart(warm, form.name, self.place.folder)
        assert undamaged.kind == SAME, f"{form.name}: {undamaged}"
        self.expected = undamaged.digest

    def read(self, content: bytes, *, processor: int = PROCESSOR) -> Outcome:
        """What the reader does with this content in the file's place. processor: seconds that it may take."""
        self.place.put(content)
        return read_apart(self.warm, self.form.name, self.place.folder, self.expected, processor=processor)

    def mutant(self, number: int) -> Tried:
        """The mutant of that number; the same every time."""
        content, what = mutate(self.content, self.form.mutations, np.random.default_rng(number))
        return Tried(number, what, self.read(content))

    def broken(self, outcome: Outcome) -> bool:
        """Whether the outcome breaks a promise: no one-line refusal, or another result where a digest forbids it."""
        return outcome.kind in BROKEN or (outcome.kind == OTHER and self.form.digest)


def tried(reader: Reader, numbers: range) -> Iterator[Tried]:
    """Each mutant of these numbers."""
    return (reader.mutant(number) for number in numbers)


COLUMNS = (REFUSED, SAME, OTHER, *BROKEN)


def main() -> None:
    """A line for each failure of a new kind, and for each format a row of the table in docs/reliability.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", action="append", choices=FORMATS)
    parser.add_argument("--mutants", type=int, default=-(-10_000 // len(FORMATS)), help="of each format")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    given = parser.parse_args()
    numbers, total, peak = range(given.first, given.first + given.mutants), Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder, Warm() as warm:
        for name in given.format or FORMATS:
            kinds, most = _search(Reader(warm, FORMATS[name], Path(folder)), numbers)
            print(_row(name, kinds, most), flush=True)
            total, peak = total + kinds, max(peak, most)
    print(_row("**in all**", total, peak))


def _search(reader: Reader, numbers: range) -> tuple[Counter[str], int]:
    """How many outcomes of each kind there were, and the most memory, in bytes; failures are printed."""
    kinds, seen, peak = Counter[str](), Counter[str](), 0
    for one in tried(reader, numbers):
        kinds[one.outcome.kind] += 1
        peak = max(peak, one.outcome.peak)
        if reader.broken(one.outcome):
            key = f"{one.outcome.kind}, {one.outcome.at}"
            seen[key] += 1
            if seen[key] <= 3:
                print(f"{reader.form.name} {one.number}: {one.what}: {key}: {one.outcome.said}", flush=True)
    return kinds, peak


def _row(name: str, kinds: Counter[str], peak: int) -> str:
    counts = (kinds.total(), *(kinds[kind] for kind in COLUMNS))
    return f"| {name} | {' | '.join(map(str, counts))} | {peak >> 20} MiB |"


if __name__ == "__main__":
    main()
