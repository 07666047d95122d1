"""Failures that are expected: which outcomes they name, and how they are read from a file."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from leakysm.errors import UserError
from leakysm.files import read_file
from leakysm.verify.checks import Outcome

LARGEST = 1 << 22  # bytes of a file of them


@dataclass(frozen=True)
class Expected:
    """An expected failure: outcomes whose id, operation/case/dtype/output, matches a shell pattern; and the reason."""

    pattern: str
    reason: str

    def matches(self, outcome: Outcome) -> bool:
        return fnmatchcase(outcome.id, self.pattern)


def read_expected(text: str) -> list[Expected]:
    """Lines `PATTERN  # reason`; empty lines and lines of comment are skipped. UserError for a line without reason."""
    failures = []
    for number, line in enumerate(text.splitlines(), 1):
        pattern, mark, reason = line.partition("#")
        if not pattern.strip():
            continue
        if not mark or not reason.strip():
            raise UserError(
                f"expected failures, line {number}: {line.strip()!r} gives no reason; add it: PATTERN # REASON"
            )
        failures.append(Expected(pattern.strip(), reason.strip()))
    return failures


def read_expected_file(path: Path) -> list[Expected]:
    """The expected failures that a file lists. UserError if it cannot be read, or for a line without reason."""
    try:
        content = read_file(path, most=LARGEST, mend="name a readable file")
    except UserError as error:
        raise UserError(f"expected failures, {error}") from None
    try:
        return read_expected(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(f"expected failures, {path} is no UTF-8 text; save it as that") from None
