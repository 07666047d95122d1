"""Expected failures: the outcomes that they name, and their file."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from leakysm.errors import UserError
from leakysm.files import read_file
from leakysm.verify.checks import Outcome

LARGEST = 1 << 22  # bytes of a file of them


@dataclass(frozen=True)
class ExpectedFailure:
    """A shell pattern for outcomes (operation/case/dtype/output) that are expected to fail, and the reason."""

    pattern: str
    reason: str

    def matches(self, outcome: Outcome) -> bool:
        return fnmatchcase(outcome.id, self.pattern)


def read_expected(text: str) -> list[ExpectedFailure]:
    """Read lines `PATTERN  # reason`. Empty and comment lines are skipped. UserError for a line without a reason."""
    failures = []
    for number, line in enumerate(text.splitlines(), 1):
        pattern, mark, reason = line.partition("#")
        if not pattern.strip():
            continue
        if not mark or not reason.strip():
            raise UserError(
                f"expected failures, line {number}: {line.strip()!r} gives no reason; add it: PATTERN # REASON"
            )
        failures.append(ExpectedFailure(pattern.strip(), reason.strip()))
    return failures


def read_expected_file(path: Path) -> list[ExpectedFailure]:
    """The expected failures that a file lists. UserError if it cannot be read, or for a line without reason."""
    try:
        content = read_file(path, most=LARGEST, mend="name a readable file")
    except UserError as error:
        raise UserError(f"expected failures, {error}") from None
    try:
        return read_expected(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(f"expected failures, {path} is not text in UTF-8; save it as that") from None
