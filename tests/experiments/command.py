"""The command line in the tests' own process."""

from __future__ import annotations

from dataclasses import dataclass

from leakysm_cli.main import app
from typer.testing import CliRunner


@dataclass(frozen=True)
class Outcome:
    """Exit status, and what was printed to standard output and standard error."""

    code: int
    out: str
    err: str


def leakysm(*words: object) -> Outcome:
    """`leakysm WORDS`. An exception that would be a traceback for the user is raised."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    return Outcome(result.exit_code, result.stdout, result.stderr)


def refused(*words: object, code: int = 2) -> str:
    """The one line in which `leakysm WORDS` is refused."""
    outcome = leakysm(*words)
    assert outcome.code == code, outcome
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    return line
