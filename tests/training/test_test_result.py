"""One test's result, and what of it is stored in summary.json."""

from __future__ import annotations

from leakysm.runs import summary_schema
from leakysm.training import TestResult

RESULT = TestResult(5, 1, 15, "running", accuracy=75.0, interval=1.5, episodes=1000)


def test_everything_that_is_written_of_a_test_is_known_to_the_reader() -> None:
    assert tuple(RESULT.to_json()) == tuple(summary_schema.StoredTest.model_fields)
    assert summary_schema.tests_of({"tests": [RESULT.to_json()]}) == [RESULT]
