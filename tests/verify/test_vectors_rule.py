"""The rule of FORMAT.md, line by line, in the order that it is stated in."""

from typing import Any

import numpy as np
import pytest

from leakysm.verify.vectors.rule import failures, ratios
from leakysm.verify.vectors.stored import Group

EPS, LEAST, LARGEST = 2.0**-23, 2.0**-126, float(np.finfo("float32").max)
INF, NAN = np.inf, np.nan


def group(one_way: str = "", **arrays: Any) -> Group:
    """A value y and a gradient dx with the same truth: expected 1, scale 1, under 0, factors 2 and 1."""
    truth: dict[str, Any] = {"expected": [1.0], "scale": 1.0, "under": 0.0, "worst": 2.0, "usual": 1.0} | arrays
    both = {f"{at}/{key}": np.asarray(value) for at in ("value/y", "vjp/dx") for key, value in truth.items()}
    return Group(both, {"parameters": "{}", "one_way": one_way})


def right(case: Group, found: float, part: str = "value", dtype: str = "float32") -> bool:
    name = "y" if part == "value" else "dx"
    return bool(ratios(case, part, name, np.array([found]), dtype).max() <= 1)


@pytest.mark.parametrize("part", ["value", "vjp"])
@pytest.mark.parametrize(
    ("truth", "found", "is_right"),
    [
        # 1. NaN
        ({"expected": [NAN], "reach": INF}, NAN, True),
        ({"expected": [NAN], "reach": INF}, 1.0, False),
        ({}, NAN, False),
        # 3. infinite
        ({"expected": [INF], "scale": 1.0}, INF, True),
        ({"expected": [INF], "scale": 1.0}, -INF, False),
        ({"expected": [INF], "scale": 1.0}, 1.0, False),
        ({"expected": [-INF], "scale": 1.0}, NAN, False),
        # 4. close to the largest
        ({"expected": [LARGEST], "scale": LARGEST}, INF, True),
        ({"expected": [LARGEST], "scale": LARGEST}, -INF, False),
        ({"expected": [LARGEST], "scale": LARGEST}, LARGEST / 2, False),
        # 5. the bound
        ({}, 1 + EPS, True),
        ({}, 1 + 2 * EPS, False),
        ({}, INF, False),
        ({"expected": [0.0], "scale": 0.0, "under": 3.0}, 3 * LEAST, True),
        ({"expected": [0.0], "scale": 0.0, "under": 3.0}, 4 * LEAST, False),
        ({"expected": [0.0], "scale": 0.0}, 0.0, True),
        ({"expected": [0.0], "scale": 0.0}, 1e-45, False),
    ],
)
def test_an_element(part: str, truth: dict[str, Any], found: float, is_right: bool) -> None:
    assert right(group(**truth), found, part) is is_right


@pytest.mark.parametrize("truth", [{"reach": 1e39}, {"scale": INF}])
@pytest.mark.parametrize(("found", "of_a_value"), [(INF, True), (-INF, False), (NAN, False)])
def test_beyond_its_reach_a_value_may_be_infinite_and_a_gradient_anything(
    truth: dict[str, Any], found: float, of_a_value: bool
) -> None:
    assert right(group(**truth), found, "value") is of_a_value
    assert right(group(**truth), found, "vjp")
    assert right(group(**truth), -7.0, "vjp")
    assert right(group(**truth), 2.0, "value") is ("scale" in truth)  # an infinite scale bounds no finite number


def test_no_infinity_has_the_sign_of_0() -> None:
    assert not right(group(expected=[0.0], scale=INF), INF)


def test_reach_is_of_the_dtype() -> None:
    assert right(group(reach=1e39), INF, dtype="float32")
    assert not right(group(reach=1e39), INF, dtype="float64")


def test_one_way_cases_are_judged_by_worst() -> None:
    assert not right(group(), 1 + 2 * EPS)
    assert right(group("float32"), 1 + 2 * EPS)
    assert not right(group("float64"), 1 + 2 * EPS)
    assert right(group("float32,float64"), 1 + 2 * EPS)


def test_each_element_chooses_its_own_alternative() -> None:
    case = group(expected=[1.0, 2.0, 3.0])
    other = {"expected": [[10.0, 20.0, 30.0], [1.0, 2.0, 300.0]], "scale": [1.0, 1e7, 1.0], "under": 0.0}
    case.arrays |= {f"alternatives/float32/dx/{key}": np.asarray(value) for key, value in other.items()}
    found = np.array([1.0, 21.0, 300.0])  # 21 is within the bound by the alternative's own scale
    assert ratios(case, "vjp", "dx", found, "float32").max() <= 1
    assert ratios(case, "vjp", "dx", found, "float64").tolist() == pytest.approx([0, 19 * 2**52, 297 * 2**52])
    assert ratios(case, "vjp", "dx", found + np.array([1, 0, 0]), "float32").max() > 1


@pytest.mark.parametrize(
    ("found", "is_right"),
    [(4.5, True), (5 + 4 * EPS, True), (5 + 8 * EPS, False), (3.9, False), (NAN, False), (INF, False), (1.0, True)],
)
@pytest.mark.parametrize("part", ["value", "vjp"])
def test_an_interval_is_right_all_over(part: str, found: float, is_right: bool) -> None:
    case, name = group(), "y" if part == "value" else "dx"
    other = {"expected": np.zeros((0, 1)), "least": [4.0], "most": [5.0], "scale": 4.0, "under": 0.0}
    case.arrays |= {f"alternatives/float32/{name}/{key}": np.asarray(value) for key, value in other.items()}
    assert right(case, found, part) is is_right


def test_another_shape_is_told() -> None:
    (text,) = failures(group(), "value", {"y": np.ones((1, 1))}, "float32")
    assert text == "y in float32: the shape is (1, 1); (1,) is expected"
