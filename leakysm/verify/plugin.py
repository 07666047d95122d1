"""The pytest plugin: `pytest --leakysm-conform=MODULE[:NAME]` makes every operation that a module offers a test.

With no other argument these are the only tests; with paths they are added to those. Options: --leakysm-array,
--leakysm-expected (a file of expected failures), --leakysm-strict. An operation that is not offered is a skipped test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

ITEMS = Path(__file__).with_name("conformance_items.txt")  # a name to collect from; the tests come from the module


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("leakysm", "leakysm conformance")
    group.addoption("--leakysm-conform", metavar="MODULE[:NAME]", help="hold what it offers to leakysm's error bounds")
    group.addoption("--leakysm-array", choices=("numpy", "torch", "jax"), help="its arrays; default: told from imports")
    group.addoption("--leakysm-expected", metavar="FILE", help="expected failures, lines PATTERN  # REASON")
    group.addoption("--leakysm-strict", action="store_true", help="also what only leakysm promises")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("leakysm_conform") is None:
        for option in ("array", "expected", "strict"):
            if config.getoption(f"leakysm_{option}"):
                raise pytest.UsageError(f"--leakysm-{option} goes with --leakysm-conform; add that, or leave it out")
        return
    _expected(config)  # what is wrong with it is told at once
    given = config.args_source is pytest.Config.ArgsSource.ARGS
    config.args = [*(config.args if given else []), str(ITEMS)]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path == ITEMS and parent.config.getoption("leakysm_conform") is not None:
        return Conformance.from_parent(parent, path=file_path, name="leakysm")
    return None


def _expected(config: pytest.Config) -> list[Any]:
    """The expected failures; none without a file of them."""
    from leakysm.errors import UserError
    from leakysm.verify.conformance import read_expected_file

    path = config.getoption("leakysm_expected")
    try:
        return read_expected_file(Path(path)) if path else []
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


class Conformance(pytest.File):
    """A test for each registered operation, one that any is offered, one that the expected failures happened."""

    def collect(self) -> Iterator[pytest.Item]:
        from leakysm.verify import entries  # noqa: F401
        from leakysm.verify.registry import ENTRIES

        yield Offered.from_parent(self, name="offers an operation")
        for operation in ENTRIES:
            yield Operation.from_parent(self, name=operation)
        if self.config.getoption("leakysm_expected"):
            yield ExpectedFailures.from_parent(self, name="expected failures")


class _Item(pytest.Item):
    def report(self, operations: Sequence[str] | None) -> Any:
        """The conformance report of some operations."""
        from leakysm.verify.conformance import OTHERS_DTYPES, OWN_DTYPES, Settings, conform_module

        option = self.config.getoption
        strict = bool(option("leakysm_strict"))
        settings = Settings(OWN_DTYPES if strict else OTHERS_DTYPES, strict=strict)
        target, array = option("leakysm_conform"), option("leakysm_array")
        return conform_module(
            target, array=array, operations=operations, settings=settings, expected=_expected(self.config)
        )

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{self.config.getoption('leakysm_conform')}: {self.name}"


class Offered(_Item):
    """The module can be imported, and offers something under a public name."""

    def runtest(self) -> None:
        from leakysm.verify.conformance import offered

        broken = offered(self.config.getoption("leakysm_conform"), self.config.getoption("leakysm_array"))
        if broken is not None:
            pytest.fail(broken, pytrace=False)


class Operation(_Item):
    """One operation, value and gradient."""

    def runtest(self) -> None:
        from leakysm.verify.report import row_problems

        row = self.report([self.name]).rows[-1]
        if row.status in ("not offered", "broken"):  # a broken module fails once, as Offered
            pytest.skip(f"{self.name} is not offered")
        if row.status != "passed":
            pytest.fail("\n".join(row_problems(row)), pytrace=False)


class ExpectedFailures(_Item):
    """Every entry of the expected failures matches a failure."""

    def runtest(self) -> None:
        from leakysm.verify.registry import ENTRIES

        named = [entry.pattern.partition("/")[0] for entry in _expected(self.config)]
        operations = [o for o in ENTRIES if any(fnmatchcase(o, pattern) for pattern in named)]
        idle = self.report(operations or list(ENTRIES)[:1]).unmatched
        if idle:
            pytest.fail("\n".join(f"{entry}: did not happen; remove it" for entry in idle), pytrace=False)
