"""Fills the generated tables of docs/verification.md: bounds, flags, errors seen. findings.py fills its own page."""

from pathlib import Path

import numpy as np

import leakysm as lk
from leakysm.verify import pages
from leakysm.verify.adapters import EngineImplementation
from leakysm.verify.conformance import OWN_DTYPES, Settings, conform
from leakysm.verify.report import ERROR_HEADER, error_rows, markdown

DOCS = Path(__file__).resolve().parents[1]


def errors() -> list[str]:
    with np.errstate(all="ignore"):
        report = conform(EngineImplementation(lk.backend("numpy")), settings=Settings(OWN_DTYPES, strict=True))
    return markdown(ERROR_HEADER, error_rows(report))


def fill(name: str, **parts: list[str]) -> None:
    path = DOCS / name
    text = path.read_text()
    for part, lines in parts.items():
        text = pages.filled(text, part, lines)
    path.write_text(text)


if __name__ == "__main__":
    fill("verification.md", bounds=pages.bounds(), flags=pages.flags(), errors=errors())
