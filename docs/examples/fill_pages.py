"""Fill the generated tables of docs: verification.md (bounds, errors), checks.md (flags), conformance.md (operations,
mends).

With a number of seconds: the table of the adversarial search in mathematics/bounds.md instead.
"""

import sys
from pathlib import Path

import numpy as np
import pages
from pages import markdown

import leakysm as lk
from leakysm.verify.adapters import EngineImplementation
from leakysm.verify.conformance import OWN_DTYPES, Settings, conform
from leakysm.verify.registry import ENTRIES
from leakysm.verify.report import SEARCH_HEADER, error_rows, search_rows
from leakysm.verify.search import search

DOCS = Path(__file__).resolve().parents[1]


def errors() -> list[str]:
    settings = Settings(OWN_DTYPES, strict=True)
    with np.errstate(all="ignore"):
        report = conform(EngineImplementation(lk.backend("numpy")), settings=settings)
    ratios = {tuple(row[:3]): row[3] for row in error_rows(report)}
    parts = [(dtype, part) for part in ("value", "vjp") for dtype in OWN_DTYPES]
    header = ("operation", *(f"{'gradient' if part == 'vjp' else part}, {dtype}" for dtype, part in parts))
    names = dict.fromkeys(operation for operation, _, _ in ratios)
    return markdown(header, [[name, *(ratios.get((name, *part), "") for part in parts)] for name in names])


def searched(seconds: float) -> list[str]:
    engine, share = EngineImplementation(lk.backend("numpy")), seconds / len(ENTRIES)
    with np.errstate(all="ignore"):
        peaks = [peak for entry in ENTRIES.values() for peak in search(engine, entry, share)]
    return markdown(SEARCH_HEADER, search_rows(peaks))


def fill(name: str, **parts: list[str]) -> None:
    path = DOCS / name
    text = path.read_text()
    for part, lines in parts.items():
        text = pages.filled(text, part, lines)
    path.write_text(text)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        fill("mathematics/bounds.md", search=searched(float(sys.argv[1])))
    else:
        fill("verification.md", bounds=pages.bounds(), errors=errors())
        fill("checks.md", flags=pages.flags())
        fill("conformance.md", operations=pages.operations(), mends=pages.mends())
