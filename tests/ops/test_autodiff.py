"""Whatever library's arrays go in, its autodiff through our operations gives what `_vjp` gives."""

import contextlib
import importlib.util
import math
import warnings

import numpy as np
import pytest
from array_api_compat import array_namespace
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import leakysm as lk
from leakysm.errors import UserError
from leakysm.ops.registry import OPERATIONS
from leakysm.verify.case import Case
from leakysm.verify.conformance import Settings, conform_module
from leakysm.verify.strategies import cases
from tests.within_bounds import assert_within_bounds

from .namespaces import LIBRARIES, outputs

FRAMEWORKS = [name for name in ("torch", "jax") if importlib.util.find_spec(name)]
# JAX takes half a second for each shape and dtype.
IN_DTYPES = [(f, d) for f, d in (("torch", "float32"), ("torch", "float64"), ("jax", "float32")) if f in FRAMEWORKS]
inf = math.inf
pytestmark = pytest.mark.skipif(not FRAMEWORKS, reason="needs torch or jax")


def autodiff(framework, function, arrays, dy=None):
    """The first output of function(*arrays), and its gradients for dy (default: all ones), as NumPy arrays."""
    if framework == "torch":
        import torch

        leaves = [torch.from_numpy(np.array(a)).requires_grad_() for a in arrays]
        y = function(*leaves)
        y = y[0] if isinstance(y, tuple) else y
        y.backward(torch.ones_like(y) if dy is None else torch.from_numpy(np.array(dy)))
        return y.detach().numpy(), [a.grad.numpy() for a in leaves]
    import jax
    import jax.numpy as jnp

    def run(*given):
        y, backward = jax.vjp(lambda *a: (lambda y: y[0] if isinstance(y, tuple) else y)(function(*a)), *given)
        return y, backward(jnp.ones_like(y) if dy is None else jnp.asarray(dy))

    wide = any(a.dtype == np.float64 for a in arrays)
    with jax.enable_x64(True) if wide else contextlib.nullcontext():
        y, gradients = jax.jit(run)(*map(jnp.asarray, arrays))
        return np.asarray(y), [np.asarray(g) for g in gradients]


def gradients_by(framework, case, dtype):
    """The framework's gradients of one of our operations."""
    operation = OPERATIONS[case.operation]
    places = [i for i, a in enumerate(operation.arguments) if a.kind == "array"]

    def function(*arrays):
        given = [a.tolist() if isinstance(a, np.ndarray) else a for a in case.arguments]
        for place, array in zip(places, arrays, strict=True):
            given[place] = array
        return operation.value(*given, **case.parameters)

    arrays = [np.asarray(case.arguments[i], dtype=dtype) for i in places]
    return autodiff(framework, function, arrays, np.asarray(case.dy, dtype=dtype))[1]


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=12)
@given(st.data())
def test_torch_autodiff_keeps_the_bounds(operation, data):
    pytest.importorskip("torch")
    _judged("torch", data.draw(cases(operation)), data.draw(st.sampled_from(["float32", "float64"])))


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=1)  # each example is compiled
@given(st.data())
def test_jax_autodiff_keeps_the_bounds(operation, data):
    pytest.importorskip("jax")
    _judged("jax", data.draw(cases(operation)), data.draw(st.sampled_from(["float32", "float64"])))


def _judged(framework, case, dtype):
    assume(dtype in case.dtypes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = gradients_by(framework, case, dtype)
    assert_within_bounds(case, "vjp", dtype, found, "any")


def test_torch_conforms_on_small_cases():
    pytest.importorskip("torch")
    _conforms("tests.ops.reexported_torch", most_numbers=60, most_cases=40)


def test_jax_conforms_on_a_plain_case():
    """JAX compiles for every shape and dtype, and the loss step by step, since its labels cannot be traced."""
    pytest.importorskip("jax")
    _conforms("tests.ops.reexported_jax", dtypes=("float32",), most_numbers=400, most_cases=1, purity=False)


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_it_conforms(framework):
    _conforms(f"tests.ops.reexported_{framework}")


def _conforms(module, **chosen):
    settings = Settings(examples=0, **chosen)
    report = conform_module(module, settings=settings)
    assert {row.operation: row.problem for row in report.rows if row.status != "passed"} == {}
    assert len(report.rows) == len(OPERATIONS)
    for row in report.rows:
        assert {worst.dtype for worst in row.worst} == set(settings.dtypes), row.operation


CORNERS = {
    "coincident": (lk.euclidean, {}, [[[1.0, 2.0]], [[1.0, 2.0], [4.0, 6.0]]]),
    "a zero vector": (lk.cosine_distance, {}, [[[0.0, 0.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, 0.0]]]),
    "at the kink": (lk.leaky_squared_euclidean, {"threshold": 4.0, "slope": 0.25}, [[[2.0], [3.0]], [[0.0]]]),
    "at a coordinate's kink": (
        lk.leaky_squared_euclidean,
        {"threshold": 4.0, "slope": 0.25, "per": "coordinate"},
        [[[2.0, 3.0]], [[0.0, 0.0]]],
    ),
    "a tiny distance": (lk.euclidean, {}, [[[3e-30, 4e-30]], [[0.0, 0.0]]]),
    "a large distance": (lk.euclidean, {}, [[[3e37, 4e37]], [[0.0, 0.0]]]),
    "large vectors": (lk.cosine_distance, {}, [[[3e37, 4e37]], [[1e-30, 0.0]]]),
    "ties in a window": (lk.max_pool2d, {}, [np.ones((1, 3, 2, 1))]),
    "0": (lk.relu, {}, [[0.0, -0.0, 1.0, -1.0]]),
    "ties of logits": (lk.log_softmax, {}, [[[1.0, 1.0, 0.0], [0.0, -inf, 0.0], [0.0, -100.0, -101.0]]]),
    "large values": (lk.batch_norm, {}, [[[1e20], [-1e20], [3e19]], [2.0], [1.0]]),
    "small values": (lk.batch_norm, {"eps": 0.0}, [[[1e-30], [-1e-30], [3e-31]], [1e-5], [1.0]]),
    "a constant channel": (lk.batch_norm, {}, [[[5.0], [5.0], [5.0]], [2.0], [1.0]]),
    "a channel of zeros": (lk.batch_norm, {}, [[[0.0], [0.0], [0.0], [0.0]], [1e-3], [1.0]]),
    "a tiny variance": (lk.batch_norm_inference, {"eps": 0.0}, [[[1e-20]], [1.0], [0.0], [0.0], [2e-38]]),
}


@pytest.mark.parametrize(("framework", "dtype"), IN_DTYPES)
@pytest.mark.parametrize("corner", CORNERS)
def test_at_corners_autodiff_is_the_vjp(corner, dtype, framework):
    f, parameters, arguments = CORNERS[corner]
    arrays = [np.asarray(a, dtype) for a in arguments]
    y = outputs(f(*arrays, **parameters))[0]
    dy = (np.arange(1, y.size + 1, dtype=dtype) / 2).reshape(y.shape)
    same, gradients = autodiff(framework, lambda *a: f(*a, **parameters), arrays, dy)
    bound, flushed = 16 * np.finfo(dtype).eps, float(np.finfo(dtype).smallest_normal)
    np.testing.assert_allclose(same, y, rtol=bound, atol=flushed)
    vjp = getattr(lk, f"{f.__name__}_vjp")
    for found, expected in zip(gradients, outputs(vjp(*arrays, dy, **parameters)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=bound, atol=bound * np.abs(expected).max(initial=0) + flushed)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("labels", [[0, 1, 0, 2], [2, 1, 1, 1]])
def test_a_saturated_loss_keeps_its_gradients_relative_accuracy(labels, dtype, framework):
    z = np.array([[0, -60, -61], [0, 0, -1], [5, -inf, 4], [-70, 3, -80]], dtype)
    labels = np.array(labels, np.int32)
    labels[z[np.arange(4), labels] == -inf] = 0  # an infinite loss is looked at below
    loss, (dz,) = autodiff(framework, lambda a: lk.cross_entropy(a, labels.tolist()), [z])
    np.testing.assert_allclose(loss, lk.cross_entropy(z, labels), rtol=8 * np.finfo(dtype).eps)
    np.testing.assert_allclose(dz, lk.cross_entropy_vjp(z, labels), rtol=256 * np.finfo(dtype).eps)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_infinite_loss_has_a_finite_gradient(framework):
    z = np.array([[0.0, -inf, 1.0]])
    loss, (dz,) = autodiff(framework, lambda a: lk.cross_entropy(a, [1]), [z])
    assert loss == inf
    np.testing.assert_allclose(dz, lk.cross_entropy_vjp(z, [1]), rtol=1e-14)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    "metric", [lk.SquaredEuclidean(), lk.LeakySquaredEuclidean(), lk.Euclidean(), lk.Cosine()], ids=str
)
def test_training_on_coincident_embeddings_keeps_its_weights(metric, framework):
    """A query on its prototype, a support vector of zeros: no NaN, and gradients within their bounds."""
    support, query = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 0.5]]), np.array([[1.0, 2.0], [0.0, 0.0], [2.0, 2.0]])
    marks = [0, 1, 2]
    loss = lambda s, q: lk.prototypical_loss(s, marks, q, marks, distance=metric)  # noqa: E731
    y, gradients = autodiff(framework, loss, [support, query])
    call = support, np.array(marks), query, np.array(marks)
    case = Case("prototypical_loss", "coincident", call, np.array(1.0), {"distance": metric}, ("random",))
    assert_within_bounds(case, "value", "float64", [y], "any")
    assert_within_bounds(case, "vjp", "float64", gradients, "any")


def test_second_derivatives_through_torch():
    torch = pytest.importorskip("torch")
    x, c = torch.randn(3, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    z, labels = torch.randn(3, 4, dtype=torch.float64), torch.tensor([0, 3, 1])
    for f, arguments in [
        (lk.euclidean, (x, c)),
        (lk.cosine_distance, (x, c)),
        (lk.log_softmax, (z,)),
        (lambda a: lk.cross_entropy(a, labels), (z,)),
    ]:
        assert torch.autograd.gradgradcheck(f, [a.clone().requires_grad_() for a in arguments])


@pytest.mark.parametrize("library", [*LIBRARIES, *(["jax"] if "jax" in FRAMEWORKS else [])])
def test_every_library_gives_the_same_bits(library):
    rng = np.random.Generator(np.random.Philox(3))
    x, c = rng.standard_normal((5, 6)).astype("float32"), rng.standard_normal((4, 6)).astype("float32")
    x[0], x[1] = c[0], 0
    if library == "jax":
        import jax.numpy as convert_from

        convert = convert_from.asarray
    else:
        convert = LIBRARIES[library]
    computed, expected = np.asarray(lk.euclidean(convert(x), convert(c))), lk.euclidean(x, c)
    squares = convert(lk.squared_euclidean(x, c))
    root = array_namespace(squares).sqrt(squares)
    # PyTorch's root is not the nearest number on every processor (MKL on AMD).
    rounded = np.array_equal(np.asarray(root), np.sqrt(np.asarray(squares)))
    np.testing.assert_array_max_ulp(computed, expected, maxulp=0 if rounded else 1)


@pytest.fixture
def jax():
    return pytest.importorskip("jax")


def test_jit_compiles_the_loss_and_its_gradient(jax):
    rng = np.random.Generator(np.random.Philox(4))
    host = [rng.standard_normal((4, 3)).astype("float32") for _ in range(2)]
    support, query = map(jax.numpy.asarray, host)
    marks, metric = (0, 1, 2, 0), {"distance": lk.Euclidean()}
    loss = lambda s, q, labels=marks: lk.prototypical_loss(s, labels, q, labels, **metric)  # noqa: E731
    y, gradients = jax.jit(jax.value_and_grad(loss, (0, 1)))(support, query)
    by_hand = jax.jit(lambda s, q: lk.prototypical_loss_vjp(s, marks, q, marks, **metric))(support, query)
    call = host[0].astype("float64"), np.array(marks), host[1].astype("float64"), np.array(marks)
    case = Case("prototypical_loss", "jit", call, np.array(1.0), metric, ("random",))
    assert_within_bounds(case, "value", "float32", [np.asarray(y)], "any")
    for found in (gradients, by_hand):
        assert_within_bounds(case, "vjp", "float32", [np.asarray(g) for g in found], "any")
    constants = jax.numpy.asarray(marks)
    jax.jit(lambda s, q: loss(s, q, constants))(support, query)
    jax.jit(lambda z, labels: lk.cross_entropy(z, labels))(support, constants % 3)  # unknown labels: not checked
    with pytest.raises(UserError, match="support_labels are traced"):
        jax.jit(lambda s, q, labels: loss(s, q, labels))(support, query, constants)
    for wrong, message in [((0, 1, 9, 0), "labels run from 0 to 9"), ((0, 1, 1, 0), "class 2 of 3 has no example")]:
        with pytest.raises(UserError, match=message):
            jax.jit(lambda z, wrong=wrong: lk.prototypes(z, wrong, 3))(support)


PARAMETERS = {
    "threshold": lambda x, p: lk.leaky_squared_euclidean(x, x, threshold=p, slope=0.5),
    "slope": lambda x, p: lk.LeakySquaredEuclidean(threshold=1.0, slope=p)(x, x),
    "eps": lambda x, p: lk.batch_norm(x, x[0], x[0], eps=p)[0],
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_that_wants_a_gradient_is_refused_by_name(name):
    call, x = PARAMETERS[name], np.arange(6.0, dtype="float32").reshape(2, 3)
    expected = call(x, 0.5)
    np.testing.assert_array_equal(call(x, np.float32(0.5)), expected)
    np.testing.assert_array_equal(call(x, np.array(0.5)), expected)
    if "torch" in FRAMEWORKS:
        import torch

        np.testing.assert_array_equal(call(x, torch.tensor(0.5)), expected)
        with pytest.raises(UserError, match=f"^{name} requires a gradient"):
            call(torch.from_numpy(x), torch.tensor(0.5, requires_grad=True))
    if "jax" in FRAMEWORKS:
        import jax

        for transformed in (jax.jit, jax.grad):
            with pytest.raises(UserError, match=f"^{name} is traced.*: make it a constant"):
                transformed(lambda p: call(jax.numpy.asarray(x), p).sum())(0.5)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("value", ["0.5", None, [1, 2], -1.0, math.nan])
def test_a_parameter_that_is_no_number(name, value):
    with pytest.raises(UserError, match=f"^{name} is .* is expected"):
        PARAMETERS[name](np.ones((2, 3)), value)
