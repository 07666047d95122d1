"""Right implementations, written as people write them, keep every bound: the suite refuses none."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from leakysm.ops.registry import OPERATIONS
from leakysm.verify.adapters import ModuleImplementation, arrays_named
from leakysm.verify.calls import PARTS, in_turn
from leakysm.verify.case import Case
from leakysm.verify.checks import draw, judge
from leakysm.verify.conformance import OTHERS_DTYPES, Settings, conform
from leakysm.verify.registry import ENTRIES, Truth
from leakysm.verify.report import problems
from tests.verify.styles import numpy_styles

FRAMEWORKS = ("torch_broadcast", "torch_functions", "jax_broadcast", "jax_vmap")
STYLES = (*numpy_styles.STYLES, *FRAMEWORKS)
EXAMPLES = 5  # of a seed


@functools.cache
def implementation(style: str) -> ModuleImplementation:
    if style in numpy_styles.STYLES:
        return ModuleImplementation(numpy_styles.STYLES[style], arrays_named("numpy"), style)
    kind = style.partition("_")[0]
    pytest.importorskip(kind)
    if kind == "torch":
        from tests.verify.styles import torch_styles as module
    else:
        from tests.verify.styles import jax_styles as module
    return ModuleImplementation(module.STYLES[style], arrays_named(kind), style)


def assert_passes(style: str, operation: str, most_numbers: float = float("inf")) -> None:
    settings = Settings(OTHERS_DTYPES, examples=EXAMPLES, most_numbers=most_numbers)
    report = conform(implementation(style), operations=[operation], settings=settings)
    assert report.ok, "\n".join(problems(report))
    assert report.rows[0].not_judged == 0


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_usual_style_passes(operation: str) -> None:
    assert_passes("broadcast", operation, most_numbers=6000)


FEW = [
    *itertools.product(["loop", "wide", "compensated"], ["cross_entropy", "euclidean"]),
    *itertools.product(["torch_broadcast", "torch_functions"], ["cross_entropy", "euclidean"]),
    *itertools.product(["jax_broadcast", "jax_vmap"], ["relu"]),
]


@pytest.mark.parametrize(("style", "operation"), FEW)
def test_another_style_passes_a_few_operations(style: str, operation: str) -> None:
    assert_passes(style, operation, most_numbers=2000)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("style", ["loop", "wide", "compensated", *FRAMEWORKS])
def test_another_style_passes(style: str, operation: str) -> None:
    assert_passes(style, operation)


def refusals(styles: Sequence[str], operation: str, seeds: range) -> list[str]:
    """What is refused of random cases, a line for each output; every style gets the same cases."""
    implementations, found, numbers = [implementation(style) for style in styles], [], itertools.count()
    shapes = 1 if any(offered.arrays.compiles for offered in implementations) else None  # to be compiled, of a seed

    def refused(case: Case, seed: int) -> bool:
        truth, number, before = Truth(ENTRIES[operation], case), next(numbers), len(found)
        for offered, dtype, part in itertools.product(implementations, OTHERS_DTYPES, PARTS):
            if dtype in case.dtypes:
                manner = in_turn(offered, case, number)
                for outcome in judge(offered, truth, dtype, part, strict=False, manner=manner):
                    if outcome.failed:
                        found.append(f"{offered.name}, seed {seed}: {outcome.id}: {outcome.problem}: {described(case)}")
        return len(found) > before

    for seed in seeds:
        ends = functools.partial(refused, seed=seed)
        draw(ENTRIES[operation], ends, examples=EXAMPLES, seed=seed, calls=shapes)
    return found


def described(case: Case) -> Any:
    return [a.tolist() if hasattr(a, "tolist") else a for a in (*case.arguments, case.dy)], dict(case.parameters)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_random_cases_pass(operation: str) -> None:
    assert refusals([style for style in STYLES if not style.startswith("jax")], operation, range(200)) == []


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_random_cases_pass_in_jax(operation: str) -> None:
    assert refusals(["jax_broadcast", "jax_vmap"], operation, range(200)) == []
