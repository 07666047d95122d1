"""Right implementations, written as people write them, keep every bound: the suite refuses none."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from leakysm.ops.registry import OPERATIONS
from leakysm.verify.adapters import ModuleImplementation, arrays_named
from leakysm.verify.calls import in_turn
from leakysm.verify.checks import PARTS, draw, judge
from leakysm.verify.conformance import OTHERS_DTYPES, SHAPES_TO_COMPILE, Settings, conform
from leakysm.verify.registry import ENTRIES, Case, Truth
from leakysm.verify.report import problems
from tests.verify.styles import numpy_styles

FRAMEWORKS = ("torch_broadcast", "torch_functions", "jax_broadcast", "jax_vmap")
STYLES = (*numpy_styles.STYLES, *FRAMEWORKS)
SEEDS = 200
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


def assert_passes(style: str, operation: str) -> None:
    settings = Settings(OTHERS_DTYPES, examples=EXAMPLES)
    report = conform(implementation(style), operations=[operation], settings=settings)
    assert report.ok, "\n".join(problems(report))
    assert report.rows[0].not_judged == 0


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("style", ["broadcast", "loop"])
def test_a_style_passes(style: str, operation: str) -> None:
    assert_passes(style, operation)


@pytest.mark.parametrize("operation", ["prototypes", "relu"])
@pytest.mark.parametrize("style", FRAMEWORKS)
def test_a_framework_passes(style: str, operation: str) -> None:
    assert_passes(style, operation)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("style", ["wide", "compensated", *FRAMEWORKS])
def test_every_other_style_passes(style: str, operation: str) -> None:
    assert_passes(style, operation)


def refusals(style: str, operation: str, seeds: range) -> list[str]:
    """What is refused of random cases, a line for each output."""
    offered, found, case_number = implementation(style), [], iter(range(10**9))

    def refused(seed: int) -> Callable[[Case], bool]:
        def ends(case: Case) -> bool:
            truth, manner = Truth(ENTRIES[operation], case), in_turn(offered, case, next(case_number))
            for dtype in (dtype for dtype in OTHERS_DTYPES if dtype in case.dtypes):
                for part in PARTS:
                    for outcome in judge(offered, truth, dtype, part, strict=False, manner=manner):
                        if outcome.failed:
                            found.append(f"seed {seed}: {outcome.id}: {outcome.problem}: {described(case)}")
            return bool(found)

        return ends

    calls = SHAPES_TO_COMPILE if offered.arrays.compiles else None
    for seed in seeds:
        draw(ENTRIES[operation], refused(seed), examples=EXAMPLES, seed=seed, calls=calls)
    return found


def described(case: Case) -> Any:
    return [a.tolist() if hasattr(a, "tolist") else a for a in (*case.arguments, case.dy)], dict(case.parameters)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("style", STYLES)
def test_random_cases_pass(style: str, operation: str) -> None:
    """Jax compiles for each shape, so it gets a tenth of the seeds."""
    seeds = range(SEEDS // 10 if style.startswith("jax") else SEEDS)
    assert refusals(style, operation, seeds) == []
