"""Conformance: all operations that an implementation offers, held to the bounds, and a report with a row for each.

`conform(implementation)` is what `leakysm conform`, `leakysm verify` and the pytest plugin run. It raises no
exception for what an implementation does: whatever goes wrong is a row of the report.

`implementation` goes through the operations, `module` does so for a module by its name, and `run` checks one operation.
`selection` says which cases, `manners` in which layouts and ways they are called, `settings` how much is checked.
`failures` makes a failure small, `expected` has those that a user expects, and `rows` is the result.
"""

from leakysm.verify.conformance.expected import ExpectedFailure, read_expected, read_expected_file
from leakysm.verify.conformance.implementation import conform, fixed_case, require_known
from leakysm.verify.conformance.module import conform_module, loaded, offers_nothing
from leakysm.verify.conformance.rows import Report, Row, ShownFailure, WorstError
from leakysm.verify.conformance.run import check_operation
from leakysm.verify.conformance.selection import few_sizes
from leakysm.verify.conformance.settings import OTHERS_DTYPES, OWN_DTYPES, Settings

__all__ = [
    "OTHERS_DTYPES",
    "OWN_DTYPES",
    "ExpectedFailure",
    "Report",
    "Row",
    "Settings",
    "ShownFailure",
    "WorstError",
    "check_operation",
    "conform",
    "conform_module",
    "few_sizes",
    "fixed_case",
    "loaded",
    "offers_nothing",
    "read_expected",
    "read_expected_file",
    "require_known",
]
