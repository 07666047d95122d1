"""Conformance of somebody else's code: what is offered is judged, whatever goes wrong is a row of the report."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import leakysm as lk
from leakysm.errors import UserError
from leakysm.ops import registry as operations
from leakysm.verify import registry
from leakysm.verify.adapters import ModuleImplementation, arrays_named
from leakysm.verify.bounds import Bound, Exact
from leakysm.verify.conformance import Expected, Settings, conform, conform_module, fixed_case, read_expected
from leakysm.verify.gradients import check_gradients
from leakysm.verify.precise import exact
from leakysm.verify.registry import Case, Entry
from leakysm.verify.report import ERROR_HEADER, SUMMARY_HEADER, as_json, columns, error_rows, problems, summary_rows

QUICK = Settings(examples=5, shrink_seconds=0.1)
GOOD = "def relu(x):\n    return x * (x > 0)\n"


def module(folder: Path, text: str) -> str:
    path = folder / "offered_functions.py"
    path.write_text("import numpy as np\n" + text)
    return str(path)


@pytest.fixture(autouse=True)
def _forget_the_module():
    import sys

    before = list(sys.path)
    yield
    sys.modules.pop("offered_functions", None)
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
    found = row(tmp_path, "def relu(x):\n    np.maximum(x, 0, out=x)\n    return x\n")
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
    with pytest.raises(UserError, match="numpy, torch, jax"):
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
    per_coordinate = [t for t in registry.ENTRIES[found.operation].truths if t.case.parameters["per"] == "coordinate"]
    summed = 1
    assert found.cases <= len(registry.ENTRIES[found.operation].truths) - len(per_coordinate) + summed + QUICK.examples
    assert found.notes == ["it takes no per: checked at 'pair' only"]


# Expected failures

ZERO = "def relu(x):\n    return x * (x > 1e-3)\n"


def test_an_expected_failure_is_not_a_failure_and_shows_its_reason(tmp_path: Path) -> None:
    target = module(tmp_path, ZERO)
    assert not conform_module(target, operations=["relu"], settings=QUICK).ok
    everything = [Expected("relu/*", "rounds small numbers to 0")]
    report = conform_module(target, operations=["relu"], settings=QUICK, expected=everything)
    assert report.ok
    assert "rounds small numbers to 0" in summary_rows(report)[0][-1]


def test_an_expected_failure_that_does_not_happen_is_an_error(tmp_path: Path) -> None:
    idle = [Expected("relu/plain/*", "was wrong once")]
    report = conform_module(module(tmp_path, GOOD), operations=["relu"], settings=QUICK, expected=idle)
    assert not report.ok
    assert "did not happen" in "\n".join(problems(report))


def test_expected_failures_are_read_with_their_reasons() -> None:
    text = "# a comment\n\nrelu/zero/*/dx  # gradient 1 at 0\n"
    assert read_expected(text) == [Expected("relu/zero/*/dx", "gradient 1 at 0")]


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
    from leakysm.verify.checks import judge

    implementation = ModuleImplementation(leaky_with(factor), arrays_named("numpy"), "leaky")
    (truth,) = [t for t in truths if t.case.name == "kink"]
    outcomes = list(judge(implementation, truth, "float64", "vjp", strict=strict))
    assert all(o.problem is None for o in outcomes) is passes


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
    found = row(tmp_path, ZERO)
    scope: dict[str, object] = {}
    exec(compile(str(found.counterexample), "counterexample", "exec"), scope)
    assert isinstance(scope["result"], np.ndarray)
    assert scope["x"].size <= 4


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
        return (Exact(2 * exact(a), 2 * abs(exact(a)), 1),)

    def cases():
        return [Case("doubled", "plain", (np.array([0.5, -3.0]),), np.array([1.5, 1.0]), {}, ("plain",), "two numbers")]

    def strategy():
        return st.floats(-9, 9, width=16).map(
            lambda v: Case("doubled", "random", (np.array([v]),), np.array([0.5]), {}, ("random",))
        )

    before = dict(registry.ENTRIES)
    operations.register(operations.Operation("doubled", value, vjp, operations.arrays("x"), "any floats"))
    bounds = {"y": Bound("1", "|2 x|"), "dx": Bound("1", "|2 dy|")}
    registry.register(
        Entry("doubled", twice, lambda x, dy: twice(dy), bounds, lambda x: {"n": x.size}, cases, strategy)
    )
    yield value
    registry.ENTRIES.clear()  # as it was, in the same order: tables are made in it
    registry.ENTRIES.update(before)
    operations.unregister("doubled")


def test_a_new_operation_is_checked_tabulated_written_and_conformance_tested(doubled, tmp_path: Path) -> None:
    """Through the defaults, which take every registered operation; all but two others are left out for time."""
    from leakysm.verify.adapters import EngineImplementation
    from leakysm.verify.report import bound_rows
    from leakysm.verify.vectors import stored
    from leakysm.verify.vectors.checks import check_operations
    from leakysm.verify.vectors.make import operation_groups

    for operation in set(registry.ENTRIES) - {"relu", "max_pool2d", "doubled"}:
        registry.unregister(operation)
    engine = lk.backend("numpy")
    settings = Settings(("float16", "float32", "float64"), strict=True, examples=2)
    report = conform(EngineImplementation(engine), settings=settings)
    assert {r.operation: r.status for r in report.rows} == dict.fromkeys(["relu", "max_pool2d", "doubled"], "passed")
    assert check_gradients(EngineImplementation(engine), registry.ENTRIES["doubled"]).problems == []
    assert ["doubled", "y", "`1`", "`|2 x|`", "derived"] in bound_rows()
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
    registry.unregister("doubled")
    with pytest.raises(ValueError, match="no bound for dx"):
        registry.register(replace(entry, bounds={"y": entry.bounds["y"]}))
    registry.register(entry)
