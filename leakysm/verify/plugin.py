"""The pytest plugin: `pytest --leakysm-conform=MODULE[:NAME]` makes every operation that a module offers a test.

With no other argument these are the only tests; with paths they are added to those. An operation that is not offered
is a skipped test. What was left unchecked, such as a gradient that is not offered, stands in a section of the summary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

ITEMS = Path(__file__).with_name("conformance_items.txt")  # pytest collects from a file; the tests come from the module

LOADED = pytest.StashKey[Any]()
UNCHECKED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("leakysm", "leakysm conformance")
    add = group.addoption
    add(
        "--leakysm-conform",
        metavar="MODULE[:NAME]",
        help="Check a module against leakysm's error bounds. Runs its code.",
    )
    add("--leakysm-array", choices=("numpy", "torch", "jax"), help="The module's arrays. Default: from its imports.")
    add("--leakysm-expected", metavar="FILE", help="File of expected failures, a line PATTERN  # REASON for each.")
    add("--leakysm-strict", action="store_true", help="Also check what only leakysm promises.")
    add(
        "--leakysm-require",
        action="append",
        metavar="NAME",
        help="Fail if this operation is not offered, or has no gradient; repeatable.",
    )
    add("--leakysm-map", action="append", metavar="THEIRS=OURS", help="The module's name for a parameter; repeatable.")
    add("--leakysm-dtype", action="append", choices=("float16", "float32", "float64"), help="One dtype; repeatable.")
    add("--leakysm-seed", type=int, help="Seed of the random cases.")
    add("--leakysm-examples", type=int, help="Number of random cases for each operation.")


OPTIONS = ("array", "expected", "strict", "require", "map", "dtype", "seed", "examples")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("leakysm_conform") is None:
        for option in OPTIONS:
            value = config.getoption(f"leakysm_{option}")
            if value is not None and value is not False:
                raise pytest.UsageError(f"--leakysm-{option} needs --leakysm-conform; add it, or leave this out")
        return
    _checked(config)  # wrong options are refused before any test runs
    config.stash[UNCHECKED] = []
    given = config.args_source is pytest.Config.ArgsSource.ARGS
    config.args = [*(config.args if given else []), str(ITEMS)]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path == ITEMS and parent.config.getoption("leakysm_conform") is not None:
        return Conformance.from_parent(parent, path=file_path, name="leakysm")
    return None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """List the tests that passed but left something unchecked, because a passed test shows only a dot."""
    if lines := config.stash.get(UNCHECKED, []):
        terminalreporter.section("leakysm: not checked")
        for line in lines:
            terminalreporter.line(line)


def _checked(config: pytest.Config) -> list[Any]:
    """Read the expected failures, if a file is given. UsageError for wrong options."""
    from leakysm.errors import UserError, suggestion
    from leakysm.verify.adapters.signatures import Names
    from leakysm.verify.conformance import read_expected_file
    from leakysm.verify.registry import ENTRIES

    path = config.getoption("leakysm_expected")
    try:
        Names.read(config.getoption("leakysm_map") or ())
        for name in config.getoption("leakysm_require") or ():
            if name not in ENTRIES:
                raise UserError(f"operation is {name!r}; {suggestion(name, ENTRIES)}")
        return read_expected_file(Path(path)) if path else []
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def _loaded(config: pytest.Config) -> Any:
    """The implementation, loaded once a run, or the line that says why it cannot be loaded."""
    from leakysm.verify.conformance import loaded

    if LOADED not in config.stash:
        names = config.getoption("leakysm_map") or ()
        implementation = loaded(config.getoption("leakysm_conform"), config.getoption("leakysm_array"), names)
        config.stash[LOADED] = implementation
    return config.stash[LOADED]


class Conformance(pytest.File):
    """One test per operation, one that there is an operation, and one that expected failures happened."""

    def collect(self) -> Iterator[pytest.Item]:
        from leakysm.verify.registry import ENTRIES

        yield OfferTest.from_parent(self, name="offers an operation")
        for operation in ENTRIES:
            yield OperationTest.from_parent(self, name=operation)
        if self.config.getoption("leakysm_expected"):
            yield ExpectedFailuresTest.from_parent(self, name="expected failures")


class _Item(pytest.Item):
    def report(self, operations: Sequence[str]) -> Any:
        """The conformance report of some operations; None for a module that cannot be checked."""
        from leakysm.verify.conformance import OTHERS_DTYPES, OWN_DTYPES, Settings, conform

        implementation = _loaded(self.config)
        if isinstance(implementation, str):
            return None
        option = self.config.getoption
        strict = bool(option("leakysm_strict"))
        dtypes = tuple(option("leakysm_dtype") or (OWN_DTYPES if strict else OTHERS_DTYPES))
        amounts = {name: option(f"leakysm_{name}") for name in ("seed", "examples")}
        settings = Settings(dtypes, strict, **{name: value for name, value in amounts.items() if value is not None})
        return conform(implementation, operations=operations, settings=settings, expected=_checked(self.config))

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{self.config.getoption('leakysm_conform')}: {self.name}"


class OfferTest(_Item):
    """The module can be imported, and offers something under a public name."""

    def runtest(self) -> None:
        from leakysm.verify.conformance import offers_nothing

        implementation = _loaded(self.config)
        broken = implementation if isinstance(implementation, str) else offers_nothing(implementation)
        if broken is not None:
            pytest.fail(broken, pytrace=False)


class OperationTest(_Item):
    """One operation, value and gradient."""

    def runtest(self) -> None:
        from leakysm.verify.report import EXPLAIN, required, result, row_hints, row_problems

        report = self.report([self.name])
        row = report.rows[-1] if report is not None else None
        is_required = self.name in (self.config.getoption("leakysm_require") or ())
        if row is None or row.status == "not offered":  # a broken module fails once, in OfferTest
            if is_required:
                pytest.fail(required(self.name), pytrace=False)
            pytest.skip(f"{self.name} is not offered")
        if row.status != "passed":
            lines = [*row_problems(row), "", *row_hints(row), *([EXPLAIN] if row.failures else [])]
            pytest.fail("\n".join(lines).strip("\n"), pytrace=False)
        if is_required and "vjp" in row.not_offered:
            pytest.fail("; ".join([required(f"{self.name}_vjp"), *row.notes]), pytrace=False)
        if result(row) != "passed" or row.notes:
            words = "; ".join([result(row), *row.notes])
            self.config.stash[UNCHECKED].append(f"{self.name}: {words}")


class ExpectedFailuresTest(_Item):
    """Every entry of the expected failures matches a failure."""

    def runtest(self) -> None:
        from leakysm.verify.registry import ENTRIES

        named = [entry.pattern.partition("/")[0] for entry in _checked(self.config)]
        operations = [o for o in ENTRIES if any(fnmatchcase(o, pattern) for pattern in named)]
        report = self.report(operations or list(ENTRIES)[:1])
        if report is not None and report.unmatched:
            pytest.fail("\n".join(f"{entry}: did not happen; remove it" for entry in report.unmatched), pytrace=False)
