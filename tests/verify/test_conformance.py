"""Conformance of somebody else's code: what is offered is judged, whatever goes wrong is a row of the report."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import leakysm as lk
from leakysm.errors import UserError
from leakysm.ops import registry as operations
from leakysm.tables import columns
from leakysm.verify import registry
from leakysm.verify.adapters import ModuleImplementation, arrays_named
from leakysm.verify.bounds import Bound, Exact
from leakysm.verify.calls import plainly
from leakysm.verify.case import Case
from leakysm.verify.checks import judge
from leakysm.verify.conformance import ExpectedFailure, Settings, conform, conform_module, fixed_case, read_expected
from leakysm.verify.conformance.run import OperationRun
from leakysm.verify.gradients import check_gradients
from leakysm.verify.precise import exact
from leakysm.verify.registry import Entry, Truth
from leakysm.verify.report import (
    ERROR_HEADER,
    SUMMARY_HEADER,
    Row,
    as_json,
    error_rows,
    problems,
    summary_rows,
)

QUICK = Settings(examples=5, shrink_seconds=0.1)
GOOD = "def relu(x):\n    return x * (x > 0)\n"


def module(folder: Path, text: str) -> str:
    path = folder / "offered_functions.py"
    path.write_text("import numpy as np\n" + text)
    return str(path)


@pytest.fixture(autouse=True)
def _search_path():
    before = list(sys.path)
    yield
    sys.path[:] = before


def row(tmp_path: Path, text: str, operation: str = "relu"):
    return conform_module(module(tmp_path, text), operations=[operation], settings=QUICK).rows[-1]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("def relu(x:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_row(tmp_path: Path, text: str, what: str) -> None:
    report = conform_module(module(tmp_path, text))
    assert [r.status for r in report.rows] == ["broken"]
    assert what in str(report.rows[0].problem)
    assert not report.ok


LAZY = """
def __getattr__(name):
    import no_such_module_at_all
"""
CANCELLED = """
import asyncio
def relu(x):
    raise asyncio.CancelledError
"""
UNSAID = """
class Odd(Exception):
    def __str__(self):
        raise ValueError
def relu(x):
    raise Odd
"""
OBJECTS = """
def relu(x):
    return x.astype(object)
"""


def test_a_module_that_finds_its_names_when_asked_may_fail_in_that(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="asking for relu raises ModuleNotFoundError: No module named"):
        row(tmp_path, LAZY)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (CANCELLED, "raised CancelledError"),
        (UNSAID, "raised Odd"),
        (OBJECTS, "returned an array of dtype object; one of numbers is expected"),
    ],
)
def test_whatever_a_function_raises_or_returns_is_a_row(tmp_path: Path, text: str, problem: str) -> None:
    found = row(tmp_path, text)
    assert found.status == "failed"
    assert problem in str(found.problem)


def test_a_module_that_offers_nothing_is_a_row(tmp_path: Path) -> None:
    report = conform_module(module(tmp_path, "def rectify(x): return x"))
    assert report.rows[0].status == "broken"
    assert {r.status for r in report.rows[1:]} == {"not offered"}
    assert not report.ok


def test_a_name_that_the_module_lacks_is_a_row(tmp_path: Path) -> None:
    report = conform_module(module(tmp_path, GOOD) + ":Losses")
    assert "no attribute 'Losses'; did you mean" in str(report.rows[0].problem)


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ("np.maximum(x, 0)[:1]", "shape"),
        ("x.astype(np.float16)", "dtype float16"),
        ("x * np.nan", "nan"),
        ("1 / 0", "raised ZeroDivisionError"),
        ("np.broadcast_to(x, (2, *x.shape))", "shape"),
        ("(x, x)", "returned 2 arrays; 1 are expected"),
        ("None", "returned a NoneType"),
        ("x.tolist()", ""),
        ("exit(2)", "raised"),
    ],
)
def test_whatever_is_returned_or_raised_is_a_row(tmp_path: Path, result: str, problem: str) -> None:
    found = row(tmp_path, f"def relu(x):\n    return {result}\n")
    assert found.status == "failed"
    assert problem in str(found.problem)
    assert found.counterexample is not None


def test_changed_arguments_are_found(tmp_path: Path) -> None:
    found = row(tmp_path, "def relu(x):\n    np.maximum(x, 0, out=x)\n    return x.copy()\n")
    assert "changed its argument x" in str(found.problem)


def test_what_is_not_offered_is_counted_and_not_green(tmp_path: Path) -> None:
    report = conform_module(module(tmp_path, GOOD), settings=QUICK)
    statuses = {r.operation: r.status for r in report.rows}
    assert statuses.pop("relu") == "passed"
    assert set(statuses.values()) == {"not offered"}
    assert report.ok
    assert next(r for r in report.rows if r.operation == "relu").not_offered == ("vjp",)


def test_only_a_vjp_may_be_offered(tmp_path: Path) -> None:
    found = row(tmp_path, "def relu_vjp(x, dy):\n    return dy * (x > 0)\n")
    assert (found.status, found.not_offered) == ("passed", ("value",))


def test_an_object_in_a_module_may_offer_them(tmp_path: Path) -> None:
    text = "class Losses:\n    @staticmethod\n    def relu(x):\n        return x * (x > 0)\n"
    assert conform_module(module(tmp_path, text) + ":Losses", operations=["relu"], settings=QUICK).ok


@pytest.mark.parametrize(
    ("imports", "array"), [("", "numpy"), ("import torch", "torch"), ("from jax import numpy as jnp", "jax")]
)
def test_the_kind_of_array_is_told_from_what_the_module_imports(tmp_path: Path, imports: str, array: str) -> None:
    from leakysm.verify.adapters import load
    from leakysm.verify.adapters.module import array_kind

    if array != "numpy":
        pytest.importorskip(array)
    assert array_kind(load(module(tmp_path, imports + "\n" + GOOD))[1]) == array


def test_a_module_with_both_frameworks_must_be_told(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    target = module(tmp_path, "import torch, jax\n" + GOOD)
    with pytest.raises(UserError, match="--array"):
        conform_module(target)
    assert conform_module(target, array="numpy", operations=["relu"], settings=QUICK).ok


@pytest.mark.parametrize("array", ["cupy", "tensorflow"])
def test_an_unknown_kind_of_array_is_bad_use(tmp_path: Path, array: str) -> None:
    with pytest.raises(UserError, match=r"is .(cupy|tensorflow).; .*numpy"):
        conform_module(module(tmp_path, GOOD), array=array)


def test_an_unknown_operation_is_bad_use(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="squared_euclidean"):
        conform_module(module(tmp_path, GOOD), operations=["squared"])


def test_a_parameter_that_a_function_lacks_may_have_its_default_only(tmp_path: Path) -> None:
    text = (
        "import leakysm as lk\ndef leaky_squared_euclidean(x, c, *, threshold, slope):\n"
        "    return lk.leaky_squared_euclidean(x, c, threshold=threshold, slope=slope)\n"
    )
    found = row(tmp_path, text, "leaky_squared_euclidean")
    assert found.status == "passed"
    per_coordinate = [
        t for t in registry.ENTRIES[found.operation].truths if t.case.parameters.get("per") == "coordinate"
    ]
    derived = 6  # of other cases: with a constant dy, numbers in reverse, other ones in their second half or middle
    assert found.cases <= len(registry.ENTRIES[found.operation].truths) - len(per_coordinate) + derived + QUICK.examples
    assert found.notes == ["it takes no per: checked at 'pair' only"]


# Expected failures

ZERO = "def relu(x):\n    return x * (x > 1e-3)\n"


def test_an_expected_failure_is_not_a_failure_and_shows_its_reason(tmp_path: Path) -> None:
    target = module(tmp_path, ZERO)
    assert not conform_module(target, operations=["relu"], settings=QUICK).ok
    everything = [ExpectedFailure("relu/*", "rounds small numbers to 0")]
    report = conform_module(target, operations=["relu"], settings=QUICK, expected=everything)
    assert report.ok
    assert "rounds small numbers to 0" in summary_rows(report)[0][-1]


def test_an_expected_failure_that_does_not_happen_is_an_error(tmp_path: Path) -> None:
    idle = [ExpectedFailure("relu/plain/*", "was wrong once")]
    report = conform_module(module(tmp_path, GOOD), operations=["relu"], settings=QUICK, expected=idle)
    assert not report.ok
    assert "did not happen" in "\n".join(problems(report))


def test_expected_failures_are_read_with_their_reasons() -> None:
    text = "# a comment\n\nrelu/zero/*/dx  # gradient 1 at 0\n"
    assert read_expected(text) == [ExpectedFailure("relu/zero/*/dx", "gradient 1 at 0")]


@pytest.mark.parametrize("line", ["relu/zero", "relu/zero #", "relu/zero  #   "])
def test_an_expected_failure_without_a_reason_is_bad_use(line: str) -> None:
    with pytest.raises(UserError, match="line 1"):
        read_expected(line)


# Kinks


def leaky_with(factor_at_kink: float):
    """The right operation but for the factor where d is exactly the threshold."""

    def vjp(x, c, dy, *, threshold, slope, per="pair"):
        difference = x[:, None, :] - c[None]
        squares = difference * difference
        d = squares.sum(-1, keepdims=True) if per == "pair" else squares
        at_kink = np.where(d == threshold, factor_at_kink if slope < 1 else 1, slope)
        terms = 2 * difference * np.where(d < threshold, 1, at_kink).astype(x.dtype) * dy[..., None]
        return terms.sum(1), -terms.sum(0)

    return SimpleNamespace(leaky_squared_euclidean_vjp=vjp)


@pytest.mark.parametrize(
    ("factor", "strict", "passes"), [(1.0, True, True), (0.25, True, False), (0.25, False, True), (0.6, False, False)]
)
def test_at_the_kink_others_may_take_either_factor_and_nothing_between(
    factor: float, strict: bool, passes: bool
) -> None:
    truths = registry.ENTRIES["leaky_squared_euclidean"].truths
    implementation = ModuleImplementation(leaky_with(factor), arrays_named("numpy"), "leaky")
    (truth,) = [t for t in truths if t.case.name == "kink"]
    outcomes = list(judge(implementation, truth, "float64", "vjp", strict=strict))
    assert all(o.problem is None for o in outcomes) is passes


# Purity, in the framework's own arrays

IMPURE = {
    "changes its argument": ("y = x.clamp(min=0); x.zero_(); return y", "torch", "changed its argument x"),
    "changes what lies between": (
        "y = x * (x > 0); b = x.base\n    if b is not None and b.size > x.size: b[...] = 7; x[...] = y\n    return y",
        "numpy",
        "changed its argument x",
    ),
    "marks its argument": ("x.requires_grad_(); return x.detach().clamp(min=0)", "torch", "requires_grad is different"),
    "changes its cotangent": ("dy[x <= 0] = 0; return dy.copy()", "numpy", "changed its argument dy"),
    "keeps one buffer": (
        "y = kept.setdefault((x.shape, x.dtype), np.empty_like(x)); np.maximum(x, 0, out=y); return y",
        "numpy",
        "the same memory twice",
    ),
    "is random in the last bit": (
        "y = x * (x > 0); kept[0] = 1 - kept.get(0, 0)\n    return np.nextafter(y, y * (1 + kept[0]), dtype=y.dtype)",
        "numpy",
        "",
    ),
    "sets NumPy's error state": ("np.seterr(all='ignore'); return x * (x > 0)", "numpy", "np.geterr()"),
    "draws from the global generator": ("np.random.rand(); return x * (x > 0)", "numpy", "np.random.get_state()"),
    "sets a variable": ("os.environ['OMP_X'] = '1'; return x * (x > 0)", "numpy", "os.environ"),
    "sets the default dtype": (
        "torch.set_default_dtype(torch.float64); return x.clamp(min=0)",
        "torch",
        "default_dtype",
    ),
    "turns gradients off": ("torch.set_grad_enabled(False); return dy * (x > 0)", "torch", "torch.is_grad_enabled()"),
    "writes to an expanded cotangent": (
        "if 0 in dy.stride() and dy.numel() > 1: dy *= (x > 0)\n    return dy * (x > 0)",
        "torch",
        "raised RuntimeError",
    ),
    "takes strides for granted": (
        "return x.as_strided(x.shape, torch.empty(x.shape).stride()).clamp(min=0)",
        "torch",
        "is 99.0; 0.0 is exact",
    ),
}


@pytest.mark.parametrize("name", [name for name in IMPURE if "random" not in name])
def test_an_impurity_is_found_and_its_code_shows_it(tmp_path: Path, name: str) -> None:
    found = impure(tmp_path, name)
    assert "does not show it" not in str(found.counterexample)


def test_randomness_is_found_and_its_call_is_told(tmp_path: Path) -> None:
    """Whether one more call shows it is chance."""
    found = impure(tmp_path, "is random in the last bit")
    assert "purity" in found.failures
    assert "offered_functions.relu(x)" in str(found.counterexample)


def impure(tmp_path: Path, name: str) -> Row:
    """The row of relu with this impurity, after a look at whether it was found."""
    body, library, problem = IMPURE[name]
    pytest.importorskip(library)
    vjp = "_vjp(x, dy)" if "dy" in body else "(x)"
    text = f"import os, {library}\nkept = {{}}\ndef relu{vjp}:\n    {body}\n"
    if vjp == "(x)":
        text += "def relu_vjp(x, dy):\n    return dy * (x > 0)\n"
    before = np.geterr(), dict(os.environ)
    report = conform_module(module(tmp_path, text), operations=["relu"], settings=replace(QUICK, examples=0))
    found = report.rows[-1]
    assert (np.geterr(), dict(os.environ)) == before
    assert found.status == "failed"
    assert set(found.failures) & {"purity", "layout", "plain", "cut-off", "wide"}
    assert problem in str(found.problem)
    return found


DISTANCE = """
import torch

class Distance(torch.autograd.Function):
    kept = {}

    @staticmethod
    def forward(ctx, x, c):
        ctx.save_for_backward(x, c)
        Distance.kept[x.shape] = x
        return (x[:, None] - c).square().sum(-1)

    @staticmethod
    def backward(ctx, dy):
        x, c = ctx.saved_tensors
        BACKWARD
        difference = 2 * dy[..., None] * (x[:, None] - c)
        return difference.sum(1), -difference.sum(0)

def squared_euclidean(x, c):
    y = Distance.apply(x, c)
    VALUE
    return y
"""
IN_ONE_WAY = {
    "alone": {"BACKWARD": "dy = dy if all(ctx.needs_input_grad) else -dy"},
    "later": {"BACKWARD": "x = Distance.kept[x.shape]"},
    "no-grad": {"VALUE": "y = y if torch.is_grad_enabled() or torch.is_inference_mode_enabled() else 2 * y"},
    "inference": {"VALUE": "y = 2 * y if torch.is_inference_mode_enabled() else y"},
    "leaf": {"VALUE": "y = 2 * y if x.requires_grad and x.grad_fn is None else y"},
    "intermediate": {"VALUE": "y = 2 * y if x.grad_fn is not None else y"},
    "default-dtype": {"VALUE": "y = y.to(torch.promote_types(y.dtype, torch.get_default_dtype()))"},
    "shared": {"VALUE": "y = 2 * y if x is c else y"},
    "together": {"VALUE": "y = 2 * y if x._base is not None and x._base is c._base else y"},
    "unfilled": {"VALUE": "y = 2 * y if torch.empty(7).isnan().all() else y"},
}


@pytest.mark.parametrize("way", IN_ONE_WAY)
def test_a_mistake_in_one_way_to_call_is_found(tmp_path: Path, way: str) -> None:
    pytest.importorskip("torch")
    (place, mistake), *_ = IN_ONE_WAY[way].items()
    text = DISTANCE.replace(place, mistake).replace("BACKWARD", "").replace("VALUE", "")
    settings = Settings(examples=0, shrink_seconds=0.1, most_numbers=100)
    (row,) = conform_module(module(tmp_path, text), operations=["squared_euclidean"], settings=settings).rows
    assert way in row.failures
    assert "does not show it" not in str(row.counterexample)


BATCH_NORM = """
import torch

class BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale, shift, eps):
        y, mean, variance = lk.batch_norm(x, scale, shift, eps=eps)
        ctx.save_for_backward(x, scale, shift)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx, dy, *_):
        dx, dscale, dshift = lk.batch_norm_vjp(*ctx.saved_tensors, dy, eps=ctx.eps)
        return (dx if ctx.needs_input_grad[1] or not ctx.needs_input_grad[2] else 2 * dx), dscale, dshift, None

def batch_norm(x, scale, shift, *, eps=1e-5):
    return BatchNorm.apply(x, scale, shift, eps)
"""
RELU = """
import torch

class ReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.y = x.clamp(min=0)
        return ctx.y

    @staticmethod
    def backward(ctx, dy):
        return dy * (ctx.y > 0) * (1 + CREATES)

def relu(x):
    return ReLU.apply(x.data if PARAMETER and isinstance(x, torch.nn.Parameter) else x)
"""
OF_TRAINING = {
    "a frozen scale": ("batch_norm", "some", BATCH_NORM.replace("import torch", "import torch, leakysm as lk")),
    "a result in place": ("relu", "overwritten", RELU.replace("CREATES", "0").replace("PARAMETER", "False")),
    "a graph of the gradient": (
        "relu",
        "later",
        RELU.replace("CREATES", "torch.is_grad_enabled()").replace("PARAMETER", "False"),
    ),
    "a parameter": ("relu", "later", RELU.replace("CREATES", "0").replace("PARAMETER", "True")),
}


@pytest.mark.parametrize("name", OF_TRAINING)
def test_a_mistake_that_only_training_shows_is_found(tmp_path: Path, name: str) -> None:
    pytest.importorskip("torch")
    operation, flag, text = OF_TRAINING[name]
    settings = Settings(examples=0, shrink_seconds=0.1, most_numbers=100)
    (row,) = conform_module(module(tmp_path, text), operations=[operation], settings=settings).rows
    assert flag in row.failures
    assert flag != "some" or "does not show it" not in str(row.counterexample)


KEEPS = {
    "the mean that it returned": (
        "kept = {}\n"
        "def batch_norm(x, scale, shift, *, eps=1e-5):\n"
        "    y, kept['mean'], variance = lk.batch_norm(x, scale, shift, eps=eps)\n"
        "    kept['own'] = kept['mean'].copy()\n"
        "    return y, kept['mean'], variance\n"
        "def batch_norm_vjp(x, scale, shift, dy, *, eps=1e-5):\n"
        "    dx, *others = lk.batch_norm_vjp(x, scale, shift, dy, eps=eps)\n"
        "    return dx * (1 + np.any(kept.get('mean') != kept.get('own'))).astype(x.dtype), *others\n"
    ),
    "the last value's arguments": (
        "last = [None, None]\n"
        "def relu(x):\n    last[:] = x, x > 0\n    return lk.relu(x)\n"
        "def relu_vjp(x, dy):\n    return dy * last[1] if x is last[0] else lk.relu_vjp(x, dy)\n"
    ),
    "results by the first numbers": (
        "kept = {}\n"
        "def prototypes(z, labels, n_classes):\n"
        "    key = z.shape, z.dtype, n_classes, labels.tobytes(), z.ravel()[:32].tobytes()\n"
        "    return kept.setdefault(key, lk.prototypes(z, labels, n_classes)).copy()\n"
        "prototypes_vjp = lk.prototypes_vjp\n"
    ),
    "results without the function's name": (
        "kept = {}\n"
        "def of(function, x, c):\n"
        "    key = x.dtype, x.shape, c.shape, x.tobytes(), c.tobytes()\n"
        "    return kept.setdefault(key, function(x, c)).copy()\n"
        "def squared_euclidean(x, c):\n    return of(lk.squared_euclidean, x, c)\n"
        "def euclidean(x, c):\n    return of(lk.euclidean, x, c)\n"
        "squared_euclidean_vjp, euclidean_vjp = lk.squared_euclidean_vjp, lk.euclidean_vjp\n"
    ),
}


@pytest.mark.parametrize("name", KEEPS)
def test_a_function_that_keeps_too_much_is_found(tmp_path: Path, name: str) -> None:
    text = "import numpy as np\nimport leakysm as lk\n" + KEEPS[name]
    settings = Settings(examples=0, shrink_seconds=0.1)
    report = conform_module(module(tmp_path, text), settings=settings)
    failed = [row for row in report.rows if row.status == "failed"]
    assert failed
    assert all(row.flag == "purity" for row in failed)


OF_TENSORS = {
    "intermediate": """
import torch
def squared_euclidean(x, c):
    c = c if c.is_leaf else c.detach()
    return (x[:, None] - c).square().sum(-1)
""",
    "plain": """
import functools, torch
@functools.cache
def ones(length, dtype):
    return torch.ones(length, dtype=dtype)
def squared_euclidean(x, c):
    return ((x[:, None] - c) * ones(len(x), x.dtype)[:, None, None]).square().sum(-1)
""",
    "purity": """
import torch
from torch.utils.weak import WeakTensorKeyDictionary
kept = WeakTensorKeyDictionary()
def squared_euclidean(x, c):
    if not (c.requires_grad and c.is_leaf):
        return (x[:, None] - c).square().sum(-1)
    return (x[:, None] - c + (kept.setdefault(c, c.detach().clone()) - c.detach())).square().sum(-1)
""",
}


@pytest.mark.parametrize("flag", OF_TENSORS)
def test_results_of_other_operations_inference_mode_and_steps_in_place_are_tried(tmp_path: Path, flag: str) -> None:
    pytest.importorskip("torch")
    settings = Settings(examples=0, shrink_seconds=0.1, most_numbers=100)
    text = OF_TENSORS[flag]
    (row,) = conform_module(module(tmp_path, text), operations=["squared_euclidean"], settings=settings).rows
    assert row.status == "failed"
    assert flag in row.failures


def test_what_depends_on_earlier_calls_is_said_to_and_what_raises(tmp_path: Path) -> None:
    text = (
        "import leakysm as lk\ncalls = []\n"
        "def relu(x):\n    calls.append(1)\n    return lk.relu(x) * (1 + (len(calls) > 40))\n"
    )
    (row,) = conform_module(module(tmp_path, text), operations=["relu"], settings=QUICK).rows
    assert "does not show it" in str(row.counterexample)
    assert row.flag == "purity"
    text = "def relu(x):\n    raise ValueError('no')\n"
    (row,) = conform_module(module(tmp_path, text), operations=["relu"], settings=QUICK).rows
    assert row.flag == "raised"


def test_a_view_of_an_argument_is_found() -> None:
    implementation = ModuleImplementation(SimpleNamespace(relu=lambda x: x), arrays_named("numpy"), "offered")
    case = Case("relu", "positive", (np.ones((2, 3)),), np.ones((2, 3)))
    outcomes = list(judge(implementation, Truth(registry.ENTRIES["relu"], case), "float32", "value", strict=False))
    assert [o.problem for o in outcomes if o.failed] == ["gave a view of its argument x: the result shares its memory"]


def test_every_argument_arrives_in_every_layout(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    met: dict[str, set[tuple[bool, int]]] = {"x": set(), "c": set(), "dy": set()}

    def squared_euclidean_vjp(x, c, dy):
        for name, a in zip(("x", "c", "dy"), (x, c, dy), strict=True):
            if min(a.shape) > 1:
                kind = (
                    "expanded"
                    if 0 in a.stride()
                    else "strided"
                    if a.stride(-1) == 2
                    else "inside"
                    if a.storage_offset()
                    else "plain"
                )
                met[name].add("transposed" if a.stride(-1) > 2 else kind)
        difference = 2 * dy[..., None] * (x[:, None] - c)
        return difference.sum(1), -difference.sum(0)

    offered = SimpleNamespace(squared_euclidean_vjp=squared_euclidean_vjp)
    implementation = ModuleImplementation(offered, arrays_named("torch"), "offered")
    report = conform(implementation, operations=["squared_euclidean"], settings=Settings(examples=0))
    assert torch.is_grad_enabled()
    assert report.ok, report.rows[0].problem
    everywhere = {"plain", "strided", "inside", "transposed", "expanded"}
    assert met == dict.fromkeys(("x", "c", "dy"), everywhere)


def test_jax_runs_each_dtype_as_its_users_do(tmp_path: Path) -> None:
    jax = pytest.importorskip("jax")
    seen = set()

    def cross_entropy(logits, labels):
        seen.add((str(logits.dtype), str(labels.dtype), jax.config.jax_enable_x64))
        return -jax.nn.log_softmax(logits)[jax.numpy.arange(len(labels)), labels].mean()

    offered = SimpleNamespace(cross_entropy=cross_entropy)
    implementation = ModuleImplementation(offered, arrays_named("jax"), "offered")
    conform(
        implementation, operations=["cross_entropy"], settings=Settings(examples=0, shrink_seconds=0, most_numbers=12)
    )
    assert seen == {("float32", "int32", False), ("float64", "int64", True)}
    assert not jax.config.jax_enable_x64


def test_a_jax_function_is_not_refused_for_what_quick_compiling_does() -> None:
    """jnp.max's gradient compares logits with their maximum. Compiled quickly, both are computed, with other bits."""
    jnp = pytest.importorskip("jax.numpy")

    def prototypical_loss(support, support_labels, query, query_labels, *, distance):
        d = jnp.sum((query[:, None] - support[None]) ** 2, -1)
        t, s = distance.threshold, distance.slope
        logits = -jnp.where(d <= t, d, t + s * (d - t))
        at = logits - jnp.max(logits, axis=-1, keepdims=True)
        return jnp.mean(jnp.log(jnp.sum(jnp.exp(at), -1)) - at[jnp.arange(len(query_labels)), query_labels])

    implementation = ModuleImplementation(SimpleNamespace(prototypical_loss=prototypical_loss), arrays_named("jax"), "")
    case = fixed_case("prototypical_loss/leaky-episode")
    entry = registry.ENTRIES["prototypical_loss"]
    run = OperationRun(implementation, entry, Settings(dtypes=("float64",)), ["vjp"], ())
    assert not run.check(Truth(entry, case), replace(plainly(case), compiled=True))


@pytest.mark.parametrize("right", [True, False])
def test_a_jax_function_that_looks_at_its_labels_is_compiled_with_them(right: bool) -> None:
    jax = pytest.importorskip("jax")
    traced = []

    def cross_entropy(logits, labels):
        traced.append(isinstance(logits, jax.core.Tracer) and not isinstance(labels, jax.core.Tracer))
        return lk.cross_entropy(logits, [int(label) for label in labels]) * (1 if right else 1.5)

    implementation = ModuleImplementation(SimpleNamespace(cross_entropy=cross_entropy), arrays_named("jax"), "")
    settings = Settings(examples=0, shrink_seconds=0, most_numbers=12, most_cases=2, dtypes=("float32",), purity=False)
    report = conform(implementation, operations=["cross_entropy"], settings=settings)
    assert sum(traced) > 1
    assert report.ok == right, report.rows[0].problem


# Functions that cannot be called as the operation is

FOREIGN = (
    "def leaky_squared_euclidean(query, proto, t, s):\n"
    "    d = ((query[:, None] - proto) ** 2).sum(-1)\n"
    "    return np.where(d <= t, d, s * d + (t - s * t if np.isfinite(t) else 0)).astype(d.dtype)\n"
)


def test_a_function_with_other_parameters_fails_with_both_signatures(tmp_path: Path) -> None:
    report = conform_module(module(tmp_path, FOREIGN + GOOD), settings=QUICK)
    found = next(r for r in report.rows if r.operation == "leaky_squared_euclidean")
    assert found.status == "failed"
    assert "takes (query, proto, t, s); (x, c, threshold, slope) is needed" in str(found.problem)
    assert "--map t=threshold --map s=slope" in str(found.problem)
    assert not report.ok


@pytest.mark.parametrize("names", [("t=threshold", "s=slope"), ("leaky_squared_euclidean.t=threshold", "s=slope")])
def test_a_map_gives_the_parameters_their_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    target = module(tmp_path, FOREIGN)
    found = conform_module(target, operations=["leaky_squared_euclidean"], settings=QUICK, names=names).rows[-1]
    assert found.status == "passed", found.problem
    assert found.cases > 30


@pytest.mark.parametrize("entry", ["t", "t=treshold", "no_such.t=threshold", "relu.t=threshold"])
def test_a_map_that_cannot_be_meant_is_bad_use(tmp_path: Path, entry: str) -> None:
    with pytest.raises(UserError, match="map is"):
        conform_module(module(tmp_path, GOOD), names=[entry])


def test_what_is_required_must_be_offered(tmp_path: Path) -> None:
    target = module(tmp_path, GOOD + "def relu_vjp(x, dy):\n    return dy * (x > 0)\n")
    assert conform_module(target, operations=["relu"], settings=QUICK, require=["relu"]).ok
    report = conform_module(target, operations=["relu"], settings=QUICK, require=["conv2d"])
    assert not report.ok
    assert "conv2d is required and not offered" in "\n".join(problems(report))


# The code that is judged is the code that is meant


def statuses(target: str) -> set[str]:
    return {r.status for r in conform_module(target, operations=["relu"], settings=replace(QUICK, examples=0)).rows}


def test_two_files_of_one_name_are_two_and_a_mended_one_is_read_again(tmp_path: Path) -> None:
    for folder, text in (("a", GOOD), ("b", ZERO)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "parts.py").write_text(text)
        (tmp_path / folder / "losses.py").write_text("from parts import relu\n")
    a, b = (str(tmp_path / folder / "losses.py") for folder in "ab")
    assert [statuses(target) for target in (a, b, a)] == [{"passed"}, {"failed"}, {"passed"}]
    (tmp_path / "b" / "parts.py").write_text(GOOD)
    assert statuses(b) == {"passed"}


def test_a_file_is_not_pythons_own_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "random.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert statuses("./random.py") == statuses("random") == {"passed"}


@pytest.mark.parametrize("target", ["pkg/sub/loss.py", "pkg.sub.loss"])
def test_a_packages_relative_imports_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    (tmp_path / "pkg" / "sub").mkdir(parents=True)
    for name in ("pkg/__init__.py", "pkg/sub/__init__.py"):
        (tmp_path / name).touch()
    (tmp_path / "pkg" / "parts.py").write_text(GOOD)
    (tmp_path / "pkg" / "sub" / "loss.py").write_text("from ..parts import relu\n")
    monkeypatch.chdir(tmp_path)
    assert statuses(target) == {"passed"}


def test_a_plain_file_with_relative_imports_is_told_its_dotted_name(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "loss.py").write_text("from .parts import relu\n")
    (tmp_path / "pkg" / "parts.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    report = conform_module("pkg/loss.py")
    assert "leakysm conform pkg.loss" in str(report.rows[0].problem)
    assert statuses("pkg.loss") == {"passed"}


def test_a_class_in_place_of_an_instance_is_told(tmp_path: Path) -> None:
    text = "class Loss:\n    def relu(self, x):\n        return x * (x > 0)\n"
    report = conform_module(module(tmp_path, text) + ":Loss")
    assert "Loss is a class; an instance is expected" in str(report.rows[0].problem)


# How much is checked


def test_the_same_exception_everywhere_stops_at_the_third_case(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    found = row(tmp_path, f"def relu(x):\n    open({str(calls)!r}, 'a').write('x')\n    raise TypeError('no')\n")
    assert found.cases == 3
    assert "stopped at the third case" in found.notes[0]


def test_a_time_limit_reports_what_was_found_by_then(tmp_path: Path) -> None:
    target = module(tmp_path, GOOD)
    report = conform_module(target, operations=["relu"], settings=replace(QUICK, seconds=0.0))
    assert "cut off after 0 s, at case 0" in report.rows[-1].notes[0]


def test_a_time_limit_in_which_nothing_was_called_is_no_pass(tmp_path: Path) -> None:
    report = conform_module(module(tmp_path, GOOD), operations=["relu"], settings=replace(QUICK, seconds=0.0))
    assert [(row.status, row.problem) for row in report.rows] == [
        ("failed", "no case was called within 0 s; give it more time")
    ]


def test_a_slow_function_is_called_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = tmp_path / "calls"
    text = f"import numpy as np\ndef relu(x):\n    open({str(calls)!r}, 'a').write('x')\n    return np.maximum(x, 0)\n"
    settings = replace(QUICK, examples=0, most_cases=1)

    def count() -> int:
        calls.unlink(missing_ok=True)
        report = conform_module(module(tmp_path, text), operations=["relu"], settings=settings)
        assert report.rows[-1].status == "passed"
        return len(calls.read_text())

    usual = count()
    monkeypatch.setattr("leakysm.verify.purity.LONG", -1.0)
    assert count() < usual / 2


def test_the_failure_that_says_most_is_shown_and_one_of_each_flag_on_demand(tmp_path: Path) -> None:
    text = (
        "def relu(x):\n    return x * (x > 0) * x.dtype.type(1.001)\ndef relu_vjp(x, dy):\n    return dy * (x >= 0)\n"
    )
    settings = replace(QUICK, every_flag=True)
    found = conform_module(module(tmp_path, text), operations=["relu"], settings=settings).rows[-1]
    assert "plain" in found.failures
    assert len(found.others) == len(found.failures) - 1
    assert "/y (made small): " in str(found.problem)
    assert "ties" in [shown.flag for shown in found.others]


# Reports


def test_a_report_is_a_table_and_json(tmp_path: Path) -> None:
    report = conform_module(module(tmp_path, ZERO), operations=["relu", "conv2d"], settings=QUICK)
    found = json.loads(json.dumps(as_json(report)))
    assert found["ok"] is False
    assert [o["status"] for o in found["operations"]] == ["failed", "not offered"]
    assert found["operations"][0]["failures"]
    table = columns(SUMMARY_HEADER, summary_rows(report))
    assert table[0].startswith("operation")
    assert any("failed" in line for line in table)
    assert columns(ERROR_HEADER, error_rows(report))


def test_the_smallest_counterexample_runs_as_it_stands(tmp_path: Path) -> None:
    settings = replace(QUICK, shrink_seconds=20.0)  # shrinking ends when nothing smaller fails
    found = conform_module(module(tmp_path, ZERO), operations=["relu"], settings=settings).rows[-1]
    scope: dict[str, object] = {}
    exec(compile(str(found.counterexample), "counterexample", "exec"), scope)
    assert isinstance(scope["result"], np.ndarray)
    assert scope["x"].size <= 4


@pytest.mark.parametrize("target", ["losses.py", "losses", "sub/losses.py", "losses.py:inside.it"])
def test_the_code_loads_what_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    text = ZERO + "class Inside:\n    class it:\n        relu = staticmethod(relu)\ninside = Inside()\n"
    (tmp_path / "sub").mkdir()
    for folder in (tmp_path, tmp_path / "sub"):
        (folder / "losses.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    settings = replace(QUICK, shrink_seconds=20.0)  # shrinking ends when nothing smaller fails
    found = conform_module(target, operations=["relu"], settings=settings).rows[-1]
    code = f"{found.counterexample}\nassert 0 < x.max() < 1e-2 and result.max() == 0"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_fixed_cases_are_found_by_id() -> None:
    assert fixed_case("relu/zero").operation == "relu"
    with pytest.raises(UserError, match="vectors list"):
        fixed_case("relu/no-such-case")


# The registry is all there is


@pytest.fixture
def doubled():
    """A new operation, y = 2 x, registered in both registries and nowhere else."""
    from hypothesis import strategies as st

    def value(x):
        return 2 * x

    def vjp(x, dy):
        return 2 * dy

    def twice(a):
        return (Exact.of(2 * exact(a), 2 * abs(exact(a)), 1.0),)

    def cases():
        return [Case("doubled", "plain", (np.array([0.5, -3.0]),), np.array([1.5, 1.0]), {}, ("plain",), "two numbers")]

    def strategy():
        return st.floats(-9, 9, width=16).map(
            lambda v: Case("doubled", "random", (np.array([v]),), np.array([0.5]), {}, ("random",))
        )

    tables = (operations.OPERATIONS, registry.ENTRIES)
    before = [dict(table) for table in tables]
    operations.register(operations.Operation("doubled", value, vjp, operations.arrays("x"), "any floats"))
    bounds = {name: Bound("1", scale, "one product") for name, scale in (("y", "|2 x|"), ("dx", "|2 dy|"))}
    registry.register(
        Entry("doubled", twice, lambda x, dy: twice(dy), bounds, lambda x: {"n": x.size}, cases, strategy)
    )
    yield value
    for table, content in zip(tables, before, strict=True):  # put every entry back in its place: order matters
        table.clear()
        table.update(content)


def test_a_new_operation_is_checked_tabulated_written_and_conformance_tested(doubled, tmp_path: Path) -> None:
    """Through the defaults, which take every registered operation; all but two others are left out for time."""
    from docs.examples import pages
    from leakysm.verify.adapters import EngineImplementation
    from leakysm.verify.vectors import stored
    from leakysm.verify.vectors.checks import check_operations
    from leakysm.verify.vectors.make import operation_groups

    for operation in set(registry.ENTRIES) - {"relu", "max_pool2d", "doubled"}:
        del registry.ENTRIES[operation]
    engine = lk.backend("numpy")
    settings = Settings(("float16", "float32", "float64"), strict=True, examples=2)
    report = conform(EngineImplementation(engine), settings=settings)
    assert {r.operation: r.status for r in report.rows} == dict.fromkeys(["relu", "max_pool2d", "doubled"], "passed")
    assert check_gradients(EngineImplementation(engine), registry.ENTRIES["doubled"]).problems == []
    assert r"| doubled | y | `1` | `\|2 x\|` | one product |" in pages.bounds()
    stored.write(tmp_path / "operations.h5", operation_groups())
    written = stored.read(tmp_path / "operations.h5")
    assert "doubled/plain" in written
    assert check_operations(engine, written).failures == []
    target = module(tmp_path, "def doubled(x):\n    return 2.001 * x\n")
    assert conform_module(target, settings=QUICK).rows[-1].status == "failed"


def test_an_entry_needs_its_operation_and_a_bound_for_every_output(doubled) -> None:
    entry = registry.ENTRIES["doubled"]
    from dataclasses import replace

    with pytest.raises(ValueError, match="already"):
        registry.register(entry)
    with pytest.raises(ValueError, match=r"leakysm\.ops\.registry"):
        registry.register(replace(entry, operation="tripled"))
    del registry.ENTRIES["doubled"]
    with pytest.raises(ValueError, match="no bound for dx"):
        registry.register(replace(entry, bounds={"y": entry.bounds["y"]}))
    registry.register(entry)


SIZES = """
import numpy as np

def relu(x):
    if x.size < 3:
        raise RuntimeError("too small")
    if x.size > 4:
        raise ValueError(f"cannot take {x.size} numbers")
    return np.maximum(x, 0)
"""


def test_a_smaller_example_raises_the_same_exception(tmp_path: Path) -> None:
    settings = replace(QUICK, examples=0, shrink_seconds=1.0)
    row = conform_module(module(tmp_path, SIZES), operations=["relu"], settings=settings).rows[-1]
    assert row.problem is not None
    assert "(made small): " in row.problem
    assert "cannot take 5 numbers" in row.problem
