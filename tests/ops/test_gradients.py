"""Every vjp against five-point differences in float64, and in float32 against the float64 vjp at the same inputs."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import leakysm as lk
import leakysm.verify.entries
from leakysm.ops.registry import OPERATIONS
from leakysm.verify.bounds import Precision, Severity, tolerance
from leakysm.verify.registry import ENTRIES, Case, Truth
from leakysm.verify.strategies import arranged, cases

from .namespaces import LIBRARIES, converted, outputs

H = 1e-3
STENCIL = ((-2, 1), (-1, -8), (1, 8), (2, -1))


def tame(case: Case) -> bool:
    """Whether differences of width H make sense: no huge, tiny or infinite numbers, no near-coincident points."""
    floats = [a for a in case.arguments if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    if not all(np.all(np.abs(a[a != 0]) > 1e-4) and np.all(np.abs(a) < 300) for a in floats):
        return False
    distance = case.parameters.get("distance")
    if distance in (lk.Euclidean(), lk.Cosine()):
        return False  # near-coincident or near-zero prototypes: these two are looked at on their own
    if case.operation == "euclidean":
        x, c = floats[:2]
        return bool(np.all(np.abs(x[:, None] - c[None]).sum(-1) > 0.5))
    if case.operation == "cosine_distance":
        return all(bool(np.all(np.abs(a).max(-1) > 0.5)) for a in floats)
    if case.operation in ("batch_norm_inference", "conv_block_inference"):
        return bool(np.all(floats[-1] > 0.1))  # the variance
    return True


def choices(case: Case, arguments: list) -> list[np.ndarray]:
    kinks = case.definition.kinks
    return [] if kinks is None else [np.asarray(a) for a in kinks(*arguments, **case.parameters).values()]


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(data=st.data())
def test_vjp_agrees_with_differences_away_from_kinks(operation, data):
    case = data.draw(cases(operation))
    assume(tame(case))
    arguments = converted(case.arguments, np.asarray)
    floats = [i for i, a in enumerate(case.definition.arguments) if a.kind == "array"]
    gradients = outputs(case.definition.vjp(*arguments, np.asarray(case.dy), **case.parameters))
    rng = np.random.Generator(np.random.Philox(data.draw(st.integers(0, 2**32))))
    direction = {
        i: rng.choice([-1.0, 1.0], np.shape(arguments[i])) * rng.random(np.shape(arguments[i])) for i in floats
    }
    for moved in [[i] for i in floats] + [floats]:
        total, size = 0.0, 0.0
        for step, weight in STENCIL:
            point = [a + step * H * direction[i] if i in moved else a for i, a in enumerate(arguments)]
            assume(all(map(np.array_equal, choices(case, point), choices(case, arguments))))
            terms = outputs(case.definition.value(*point, **case.parameters))[0] * case.dy
            total += weight * float(np.sum(terms)) / (12 * H)
            size = max(size, float(np.sum(np.abs(terms))))
        products = [gradients[floats.index(i)] * direction[i] for i in moved]
        expected = sum(float(np.sum(p)) for p in products)
        scale = sum(float(np.sum(np.abs(p))) for p in products)
        if operation == "cosine_distance":
            size += 2 * float(np.sum(np.abs(case.dy)))  # the value's terms: 1 and the cosine
        # Rounding of the values over H, with a margin; truncation measured at 4e-10 of the terms, with a margin.
        eps = np.finfo(np.float64).eps
        assert abs(total - expected) <= 1e3 * eps * size / H + 3e-8 * (scale + size)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=20)
@given(data=st.data())
def test_float32_agrees_with_float64_at_the_same_inputs(operation, library, data):
    case = data.draw(cases(operation))
    assume("float32" in case.dtypes)
    single, double = Precision("float32"), Precision("float64")
    truth = Truth(ENTRIES[operation], case)
    results = {}
    for dtype in ("float32", "float64"):
        *arguments, dy = converted((*case.arguments, np.asarray(case.dy)), LIBRARIES[library], dtype)
        results[dtype] = outputs(case.definition.vjp(*arguments, dy, **case.parameters))
    names = ENTRIES[operation].gradients
    # Where a choice lies within its bound, the two may differ.
    assume(truth.open_gradients(single, "any") == (None,) * len(truth.vjp))
    for name, e, a, b in zip(names, truth.vjp, results["float32"], results["float64"], strict=True):
        k = truth.factor(name, Severity("ours", usual=False))
        allowed = tolerance(e, k, single) + tolerance(e, k, double)
        with np.errstate(invalid="ignore", over="ignore"):
            close = np.abs(a.astype(np.float64) - b) <= allowed
        beyond = e.reach > single.largest / 4  # rests on a number that float32 may not hold: not promised
        assert np.all(close | beyond)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=15)
@given(data=st.data())
def test_laws_of_every_vjp(operation, library, data):
    """Zero cotangent, zero gradient; linear in the cotangent (exactly, for powers of two); same call, same bits; the
    inputs, read-only, are not written to; the memory layout does not matter; the type that comes in goes out."""
    case = data.draw(cases(operation))
    convert, vjp = LIBRARIES[library], case.definition.vjp
    layout = "contiguous" if library == "torch" else data.draw(st.sampled_from(["reversed", "strided", "transposed"]))
    call = [arranged(a, layout) if isinstance(a, np.ndarray) else a for a in case.arguments]
    arguments = converted(tuple(call), convert)
    dy = convert(np.asarray(case.dy))
    plain = outputs(vjp(*converted(case.arguments, convert), dy, **case.parameters))
    result = vjp(*arguments, dy, **case.parameters)
    assert all(type(g) is type(dy) for g in (result if isinstance(result, tuple) else (result,)))
    again = vjp(*arguments, dy, **case.parameters)
    for a, b, c in zip(outputs(result), outputs(again), plain, strict=True):
        np.testing.assert_array_equal(a, b)
        if "conv" not in operation:  # a BLAS may order its sums by the layout
            np.testing.assert_array_equal(a, c)
    for before, after in zip(case.arguments, call, strict=True):
        np.testing.assert_array_equal(before, after)
    if all(np.all(np.isfinite(g)) for g in plain):
        for g in outputs(vjp(*arguments, dy * 0, **case.parameters)):
            np.testing.assert_array_equal(g, np.zeros_like(g))
