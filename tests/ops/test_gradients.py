"""Every vjp is the derivative of its value and keeps its bounds, in every array library and memory layout."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import leakysm as lk
from leakysm.ops.registry import OPERATIONS
from leakysm.verify.adapters import EngineImplementation
from leakysm.verify.gradients import check_gradients
from leakysm.verify.registry import ENTRIES
from leakysm.verify.strategies import arranged, cases
from tests.within_bounds import assert_within_bounds

from .namespaces import LIBRARIES, converted, outputs

REFERENCE = EngineImplementation(lk.backend("reference"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_vjp_is_the_derivative_of_its_value(operation):
    with np.errstate(all="ignore"):
        found = check_gradients(REFERENCE, ENTRIES[operation])
    assert found.problems == []
    assert min(found.directions, found.entries, found.laws) > 0


@pytest.mark.parametrize("operation", OPERATIONS)
@given(data=st.data())
def test_every_vjp_of_a_drawn_call_is_linear(operation, data):
    case = replace(data.draw(cases(operation)), flags=("random",))  # may lie at a kink, where nothing is differentiable
    with np.errstate(all="ignore"):
        found = check_gradients(REFERENCE, replace(ENTRIES[operation], cases=lambda: [case]))
    assert found.problems == []
    assert found.laws > 0


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=6)
@given(data=st.data())
def test_every_library_keeps_the_bounds(operation, library, data):
    case = data.draw(cases(operation))
    for dtype in {"float32", "float64"} & set(case.dtypes):
        *arguments, dy = converted((*case.arguments, np.asarray(case.dy)), LIBRARIES[library], dtype)
        found = outputs(case.definition.vjp(*arguments, dy, **case.parameters))
        assert {g.dtype.name for g in found} == {dtype}
        assert_within_bounds(case, "vjp", dtype, found)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=5)
@given(data=st.data())
def test_laws_of_every_vjp(operation, library, data):
    """A zero cotangent gives a zero gradient, and a negated one the negated gradient.

    The same call gives the same bits. The inputs are read-only. Their memory layout does not matter. The result has
    their type."""
    case = data.draw(cases(operation))
    convert, vjp = LIBRARIES[library], case.definition.vjp
    layout = "contiguous" if library == "torch" else data.draw(st.sampled_from(["reversed", "strided", "transposed"]))
    call = [arranged(a, layout) if isinstance(a, np.ndarray) else a for a in case.arguments]
    arguments = converted(tuple(call), convert)
    dy = convert(np.asarray(case.dy))
    plain = outputs(vjp(*converted(case.arguments, convert), dy, **case.parameters))
    result = vjp(*arguments, dy, **case.parameters)
    assert all(type(g) is type(dy) for g in (result if isinstance(result, tuple) else (result,)))
    found, again = outputs(result), outputs(vjp(*arguments, dy, **case.parameters))
    for a, b in zip(found, again, strict=True):
        np.testing.assert_array_equal(a, b)
    if "conv" in operation:  # a BLAS may order its sums by the layout
        assert_within_bounds(case, "vjp", "float64", found)
    else:
        for a, b in zip(found, plain, strict=True):
            np.testing.assert_array_equal(a, b)
    for before, after in zip(case.arguments, call, strict=True):
        np.testing.assert_array_equal(before, after)
    for a, b in zip(outputs(vjp(*arguments, -dy, **case.parameters)), found, strict=True):
        np.testing.assert_array_equal(a, -b)
    for a, b in zip(outputs(vjp(*arguments, dy * 0, **case.parameters)), found, strict=True):
        np.testing.assert_array_equal(a[np.isfinite(b)], 0)
