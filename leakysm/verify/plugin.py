"""The pytest plugin: `pytest --leakysm-conform=MODULE[:NAME]` makes every operation that a module offers a test.

With no other argument these are the only tests; with paths they are added to those. Options: --leakysm-array,
--leakysm-expected (a file of expected failures), --leakysm-strict. An operation that is not offered is a skipped test.
"""

from __future__ import annotations

from collections.abc import Iterator
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
        return
    given = config.args_source is pytest.Config.ArgsSource.ARGS
    config.args = [*(config.args if given else []), str(ITEMS)]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path == ITEMS and parent.config.getoption("leakysm_conform") is not None:
        return Conformance.from_parent(parent, path=file_path, name="leakysm")
    return None


class Conformance(pytest.File):
    """A test for each registered operation, and one that every expected failure happened."""

    def collect(self) -> Iterator[pytest.Item]:
        from leakysm.verify import entries  # noqa: F401
        from leakysm.verify.registry import ENTRIES

        met: set[Any] = set()
        for operation in ENTRIES:
            yield Operation.from_parent(self, name=operation, met=met)
        if self.config.getoption("leakysm_expected"):
            yield ExpectedFailures.from_parent(self, name="expected failures", met=met)


class _Item(pytest.Item):
    def __init__(self, *, met: set[Any], **keywords: Any):
        super().__init__(**keywords)
        self.met = met

    def expected(self) -> list[Any]:
        from leakysm.verify.conformance import read_expected

        path = self.config.getoption("leakysm_expected")
        return read_expected(Path(path).read_text()) if path else []

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        return str(excinfo.value) if isinstance(excinfo.value, AssertionError) else super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{self.config.getoption('leakysm_conform')}: {self.name}"


class Operation(_Item):
    """One operation, value and gradient."""

    def runtest(self) -> None:
        from leakysm.verify.conformance import OTHERS_DTYPES, OWN_DTYPES, Settings, conform_module
        from leakysm.verify.report import problems

        option = self.config.getoption
        strict = bool(option("leakysm_strict"))
        report = conform_module(
            option("leakysm_conform"),
            array=option("leakysm_array"),
            operations=[self.name],
            settings=Settings(OWN_DTYPES if strict else OTHERS_DTYPES, strict=strict),
            expected=self.expected(),
        )
        row = report.rows[-1]
        self.met.update(row.expected)
        if row.status == "not offered":
            pytest.skip(f"{self.name} is not offered")
        assert row.status == "passed", "\n".join(problems(report)[: -len(report.unmatched) or None])


class ExpectedFailures(_Item):
    """Every entry of the expected failures matched a failure: runs last."""

    def runtest(self) -> None:
        idle = [entry for entry in self.expected() if entry.pattern not in self.met]
        assert not idle, "\n".join(f"{e.pattern}  # {e.reason}: did not happen; remove it" for e in idle)
