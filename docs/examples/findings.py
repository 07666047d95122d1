"""Prints the table of docs/conformance.md: what `leakysm conform` finds in real library calls, with versions."""

import sys
from pathlib import Path

from leakysm.verify.conformance import Settings, conform_module
from leakysm.verify.report import markdown

EXAMPLES = Path(__file__).parent
HEADER = ("example", "versions", "operation", "result", "failed on")
SETTINGS = Settings(examples=0, shrink_seconds=0)


def rows(example: str) -> list[list[str]]:
    report = conform_module(str(EXAMPLES / f"{example}.py"), settings=SETTINGS)
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return [
        [f"`{example}`", versions, row.operation, row.status, ", ".join(sorted(row.failures))]
        for row in report.rows
        if row.status != "not offered"
    ]


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(p.stem for p in EXAMPLES.glob("*_*.py") if p.stem != "fill_pages")
    print(*markdown(HEADER, [row for name in names for row in rows(name)]), sep="\n")
