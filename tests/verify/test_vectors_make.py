"""How a case is worked out for the files: factors, coarse scales, and what else may be right."""

import json
from typing import Any

import numpy as np
import pytest

import leakysm as lk
from leakysm.verify import entries  # noqa: F401  (registers the package's operations)
from leakysm.verify.bounds import Precision, Severity
from leakysm.verify.registry import ENTRIES, Truth
from leakysm.verify.vectors import alternatives, parameters
from leakysm.verify.vectors.checks import check_engine
from leakysm.verify.vectors.make import HALF_UNIT, case_group


def truth(case: str) -> Truth:
    return next(t for t in ENTRIES[case.partition("/")[0]].truths if t.case.id == case)


CASES = (
    "squared_euclidean/wide",
    "squared_euclidean/subnormal",
    "leaky_squared_euclidean/kink",
    "leaky_squared_euclidean/all-in-doubt-per-pair",
    "batch_norm_inference/scale-subnormal",
    "conv_block/ties",
    "max_pool2d/ties",
)


def test_made_cases_are_kept_by_the_engine() -> None:
    checked = check_engine(lk.backend("reference"), {case: case_group(truth(case)) for case in CASES}, lk.Conv4)
    assert (checked.failures, checked.cases) == ([], len(CASES))


@pytest.mark.parametrize("severity", ["worst", "usual"])
def test_factors_are_for_any_order_and_allow_for_the_rounded_expected(severity: str) -> None:
    found = truth("squared_euclidean/wide")
    k = found.factor("y", Severity("any", usual=severity == "usual"))
    assert case_group(found).arrays[f"value/y/{severity}"] == k + HALF_UNIT


def test_a_rounded_parameter_moves_a_result_by_part_of_a_rounding() -> None:
    """The slope 0.1 in float32 is off by 0.125 eps, relatively."""
    found = alternatives.of(truth("leaky_squared_euclidean/plain"), Precision("float32"))
    assert 0 < found["y"].shift <= 0.13
    assert alternatives.of(truth("leaky_squared_euclidean/plain"), Precision("float64"))["y"].shift == 0
    assert found["y"].values == []


def test_many_open_choices_are_an_interval() -> None:
    arrays = case_group(truth("leaky_squared_euclidean/all-in-doubt-per-pair")).arrays
    at = "alternatives/float32/dx"
    least, most, expected = arrays[f"{at}/least"], arrays[f"{at}/most"], arrays["vjp/dx/expected"]
    assert np.all((least <= expected) & (expected <= most))
    assert np.any(least < most)


def test_subnormal_inputs_may_be_taken_for_0() -> None:
    group = case_group(truth("squared_euclidean/subnormal"))
    flushed = group.arrays["alternatives/float32/dx/expected"]
    assert np.any(np.all(flushed == 0, axis=tuple(range(1, flushed.ndim))))


def test_an_alternative_is_stored_once_and_not_the_exact_result_again() -> None:
    looked_at = set()
    for case in CASES:
        arrays: dict[str, Any] = case_group(truth(case)).arrays
        for path, array in arrays.items():
            if path.startswith("alternatives/") and path.endswith("/expected"):
                name = path.split("/")[2]
                rows = [row.tobytes() for row in array]
                assert len(set(rows)) == len(rows)
                own = {f"{part}/{name}/expected" for part in ("value", "vjp")} & set(arrays)
                assert own
                assert not {arrays[path].tobytes() for path in own} & set(rows)
                looked_at.add(case)
    assert looked_at == {
        "squared_euclidean/subnormal",
        "leaky_squared_euclidean/kink",
        "leaky_squared_euclidean/all-in-doubt-per-pair",
        "batch_norm_inference/scale-subnormal",
        "conv_block/ties",
    }


def test_coarse_numbers_are_a_little_larger_and_never_cross_a_dtypes_largest() -> None:
    numbers = np.array([0.0, 5e-324, 1e-310, 0.1, 1 / 3, 1.0, 3.3e38, 3.4028234e38, 1.7e308, np.inf])
    found = alternatives.coarse(numbers)
    assert np.all((found >= numbers) & (found <= numbers * (1 + 2**-7)))
    assert np.array_equal(found[-4:], numbers[-4:])
    assert alternatives.coarse(np.full((2, 3), 0.25)).shape == ()


@pytest.mark.parametrize("restriction", [lk.Leak(np.inf, 0.5), lk.Log(2.0), lk.Root(np.inf)], ids=str)
def test_a_restriction_in_json_is_its_name_and_its_parameters(restriction: lk.Restriction) -> None:
    written = parameters.plain(restriction)
    assert written["restriction"] == type(restriction).__name__.lower()
    assert parameters.parameter(json.loads(json.dumps(written))) == restriction
