"""Check the operations of an implementation, and make the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from leakysm.errors import UserError, suggestion
from leakysm.verify import entries  # noqa: F401  (registers the package's operations)
from leakysm.verify.adapters.implementation import Implementation
from leakysm.verify.calls import PARTS
from leakysm.verify.case import Case
from leakysm.verify.conformance.expected import ExpectedFailure
from leakysm.verify.conformance.rows import Report, Row
from leakysm.verify.conformance.run import check_operation
from leakysm.verify.conformance.settings import Settings
from leakysm.verify.processes import mapped
from leakysm.verify.registry import ENTRIES


def conform(
    implementation: Implementation,
    *,
    operations: Sequence[str] | None = None,
    settings: Settings | None = None,
    expected: Sequence[ExpectedFailure] = (),
    require: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
    finished: Callable[[Row], None] = lambda row: None,
    check: Callable[[str], tuple[Row, set[ExpectedFailure]]] | None = None,
    processes: int = 1,
) -> Report:
    """Check some operations of an implementation (default: all). UserError for an unknown operation.

    require: operations that must be offered, with their gradients. progress counts the operations that are offered: it
    is called at the start and after each of them. finished is called after each operation. check: a function that
    checks an operation in place of this implementation; if it is picklable, several processes share the operations.
    """
    require_known((*(operations or ()), *require))
    check = check or partial(check_named, implementation, settings or Settings(), expected)
    names, met = operations or tuple(ENTRIES), set()
    rows: dict[int, Row] = {}
    offered = [any(implementation.offers(name, part) for part in PARTS) for name in names]
    with mapped(check, names, processes) as results:
        progress(0, sum(offered))
        for place, (row, used) in results:
            rows[place] = row
            if offered[place]:
                progress(sum(offered[i] for i in rows), sum(offered))
            finished(row)
            met |= used
    unmatched = [f"{e.pattern}  # {e.reason}" for e in expected if e not in met]
    missing = [name for name in require if not implementation.offers(name, "value")]
    missing += [f"{name}_vjp" for name in require if name not in missing and not implementation.offers(name, "vjp")]
    in_order = [rows[place] for place in range(len(names))]
    return Report(implementation.name, implementation.versions, in_order, unmatched, missing)


def check_named(
    implementation: Implementation, settings: Settings, expected: Sequence[ExpectedFailure], name: str
) -> tuple[Row, set[ExpectedFailure]]:
    """Check one operation by its name: a function that can be sent to another process."""
    return check_operation(implementation, ENTRIES[name], settings, expected)


def require_known(operations: Sequence[str]) -> None:
    """UserError for an unknown operation."""
    for name in operations:
        if name not in ENTRIES:
            raise UserError(f"operation is {name!r}; {suggestion(name, ENTRIES)}")


def fixed_case(case_id: str) -> Case:
    """A fixed case by its id, operation/name; UserError if there is none."""
    operation, _, name = case_id.partition("/")
    cases = [c for c in (ENTRIES[operation].cases() if operation in ENTRIES else ()) if c.name == name]
    if not cases:
        raise UserError(
            f"case is {case_id!r}; an id such as squared_euclidean/plain is expected: `leakysm vectors list` shows them"
        )
    return cases[0]
