"""Check a module by its name, in one process or in several. A module that cannot be loaded becomes a row."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

from leakysm.errors import UserError
from leakysm.verify.adapters.implementation import Implementation
from leakysm.verify.adapters.libraries import arrays_named
from leakysm.verify.adapters.loading import cannot_be_imported, load
from leakysm.verify.adapters.module import ModuleImplementation, array_kind
from leakysm.verify.adapters.signatures import Names
from leakysm.verify.calls import PARTS
from leakysm.verify.conformance.expected import ExpectedFailure
from leakysm.verify.conformance.implementation import check_named, conform
from leakysm.verify.conformance.rows import Report, Row
from leakysm.verify.conformance.settings import Settings
from leakysm.verify.registry import ENTRIES


def conform_module(
    target: str,
    *,
    array: str | None = None,
    names: Sequence[str] = (),
    operations: Sequence[str] | None = None,
    processes: int = 1,
    settings: Settings | None = None,
    expected: Sequence[ExpectedFailure] = (),
    **others: Any,
) -> Report:
    """Check what MODULE[:NAME] names. A module that cannot be imported, or offers nothing, becomes a row of the report.

    names: the module's own names of parameters, THEIRS=OURS or OPERATION.THEIRS=OURS. processes: if more than one,
    that many processes load the module and share its operations. others: further options of `conform`.
    """
    implementation = loaded(target, array, names)
    if isinstance(implementation, str):
        return Report(target, {}, [Row(target, "broken", problem=implementation)])
    settings = settings or Settings()
    in_process = partial(_check_module, target, array, names, settings, expected)
    offered = [name for name in operations or ENTRIES if any(implementation.offers(name, part) for part in PARTS)]
    processes = min(processes, len(offered))
    report = conform(
        implementation,
        operations=operations,
        settings=settings,
        expected=expected,
        check=in_process if processes > 1 else None,
        processes=processes,
        **others,
    )
    if all(row.status == "not offered" for row in report.rows):
        report.rows.insert(
            0, Row(target, "broken", problem=_offers_nothing_words([row.operation for row in report.rows]))
        )
    return report


def _check_module(
    target: str,
    array: str | None,
    names: Sequence[str],
    settings: Settings,
    expected: Sequence[ExpectedFailure],
    name: str,
) -> tuple[Row, set[ExpectedFailure]]:
    """Check one operation of a module in a process of its own. What the module prints is kept out of the report."""
    with contextlib.redirect_stdout(sys.stderr):
        implementation = _loaded_once(target, array, tuple(names))
        if isinstance(implementation, str):
            return Row(target, "broken", problem=implementation), set()
        return check_named(implementation, settings, expected, name)


@lru_cache(maxsize=1)
def _loaded_once(target: str, array: str | None, names: tuple[str, ...]) -> ModuleImplementation | str:
    return loaded(target, array, names)


def offers_nothing(implementation: Implementation) -> str | None:
    """Why an implementation offers no operation; None if it offers one."""
    some = any(implementation.offers(operation, part) for operation in ENTRIES for part in PARTS)
    return None if some else _offers_nothing_words(tuple(ENTRIES))


def _offers_nothing_words(operations: Sequence[str]) -> str:
    return f"offers nothing; define a function of one of these names, or rename one: {', '.join(operations)}"


def loaded(target: str, array: str | None = None, names: Sequence[str] = ()) -> ModuleImplementation | str:
    """The implementation, or a line that says why the module cannot be loaded. UserError for wrong options."""
    if array is not None:
        arrays_named(array)  # before the import: a wrong --array is an error for every module
    table = Names.read(names)
    try:
        offered, module = load(target)
    except KeyboardInterrupt:
        raise
    except UserError as problem:
        return str(problem)
    except BaseException as problem:
        return cannot_be_imported(target, problem)
    return ModuleImplementation(offered, arrays_named(array or array_kind(module, target)), target, table)
