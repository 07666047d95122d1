"""Right implementations, written as people write them, keep every bound: the suite refuses none."""

import pytest

from leakysm.ops.registry import OPERATIONS
from leakysm.verify.adapters import ModuleImplementation, arrays_named
from leakysm.verify.conformance import OTHERS_DTYPES, Settings, conform
from leakysm.verify.report import problems
from tests.verify.styles import numpy_styles


def assert_passes(offered, kind: str, name: str, operation: str) -> None:
    implementation = ModuleImplementation(offered, arrays_named(kind), name)
    report = conform(implementation, operations=[operation], settings=Settings(OTHERS_DTYPES, examples=5))
    assert report.ok, "\n".join(problems(report))
    assert report.rows[0].not_judged == 0


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("style", numpy_styles.STYLES)
def test_a_numpy_style_passes(style: str, operation: str) -> None:
    assert_passes(numpy_styles.STYLES[style], "numpy", style, operation)
