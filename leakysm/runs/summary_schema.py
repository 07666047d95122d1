"""What must be in summary.json, as pydantic models. Pydantic is slow to import: import this file only to read one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leakysm.training.test_result import TestResult

Count = Annotated[int, Field(ge=1)]
Spreads = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class StoredTest(BaseModel):
    """One test of a run."""

    model_config = ConfigDict(strict=True, extra="forbid")

    way: Count
    shot: Count
    query: Count
    norm: str
    accuracy: Percent
    interval: Percent
    episodes: Count


class StoredSummary(BaseModel):
    """What is read of summary.json; its other keys are for people. Published runs may lack data_digest, and older ones
    closeness."""

    model_config = ConfigDict(strict=True)

    tests: list[StoredTest]
    data_digest: str = ""
    closeness: dict[Annotated[str, Field(pattern=r"^[1-9]\d{0,3}$")], Spreads] = Field(default_factory=dict)


def tests_of(content: Mapping[str, Any]) -> list[TestResult]:
    """A summary's tests, without their single episodes. ValueError, in one line, for the first fault of the content."""
    try:
        summary = StoredSummary.model_validate(content)
    except ValidationError as error:
        raise ValueError(_first_fault(error)) from None
    return [TestResult(**dict(test)) for test in summary.tests]


def _first_fault(error: ValidationError) -> str:
    """Which key holds what, or which key is missing or unknown."""
    fault = error.errors(include_url=False)[0]
    key = next((part for part in reversed(fault["loc"]) if isinstance(part, str)), "the content")
    words = {"missing": f"{key} is missing", "extra_forbidden": f"{key} is unknown"}
    return words.get(fault["type"], f"{key} is {fault['input']!r}")
