"""The pytest plugin, in a pytest of its own."""

import pytest

pytest_plugins = ["pytester"]

OFFERED = """
def relu(x):
    return x * (x > 0)

def relu_vjp(x, dy):
    return dy * (x >= 0)
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(offered=OFFERED, test_mine="def test_mine(): pass\n")
    return lambda *arguments: pytester.runpytest_subprocess("-p", "leakysm.verify.plugin", *arguments)


def test_every_offered_operation_is_a_test_with_its_counterexample(run) -> None:
    result = run("--leakysm-conform=offered", "-rs")
    result.assert_outcomes(passed=1, failed=1, skipped=16)
    result.stdout.fnmatch_lines(["*relu/*/dx*is exact*", "*import offered*", "*result = offered.relu_vjp(x, dy)*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_what_is_not_checked_is_told(run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        partial="def relu(x):\n    return x * (x > 0)\n"
        "def prototypical_loss_vjp(support, support_labels, query, query_labels, dy):\n    raise SystemExit\n"
    )
    result = run("--leakysm-conform=partial", "--leakysm-examples=0")
    result.assert_outcomes(passed=2, failed=1, skipped=15)
    result.stdout.fnmatch_lines(["*leakysm: not checked*", "relu: passed (value only)"])


def test_what_is_required_fails_where_it_is_not_offered(run) -> None:
    result = run("--leakysm-conform=offered", "--leakysm-require=conv2d", "--leakysm-examples=0")
    result.assert_outcomes(passed=1, failed=2, skipped=15)
    result.stdout.fnmatch_lines(["*conv2d is required and not offered*"])


def test_what_is_required_needs_a_gradient(run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(valued="def relu(x):\n    return x * (x > 0)\n")
    result = run("--leakysm-conform=valued", "--leakysm-require=relu", "--leakysm-examples=0")
    result.assert_outcomes(passed=1, failed=1, skipped=16)
    result.stdout.fnmatch_lines(["*relu is required and has no gradient: define relu_vjp*"])


def test_parameters_are_mapped_and_dtypes_chosen(run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        mapped="import numpy as np\ndef batch_norm_inference(x, scale, shift, mean, variance, *, epsilon):\n"
        "    assert x.dtype == np.float64\n"
        "    return (x - mean) / np.sqrt(variance + epsilon) * scale + shift\n"
    )
    options = ("--leakysm-conform=mapped", "--leakysm-map=epsilon=eps", "--leakysm-dtype=float64")
    run(*options, "--leakysm-seed=3", "--leakysm-examples=3").assert_outcomes(passed=2, skipped=16)


def test_paths_add_ones_own_tests(run) -> None:
    run("--leakysm-conform=offered", "test_mine.py").assert_outcomes(passed=2, failed=1, skipped=16)


def test_without_the_option_nothing_is_added(run) -> None:
    run().assert_outcomes(passed=1)


def test_expected_failures_pass_and_idle_ones_do_not(run, pytester: pytest.Pytester) -> None:
    pytester.makefile(".txt", expected="relu/*/dx  # gradient 1 at 0, as in our other code")
    run("--leakysm-conform=offered", "--leakysm-expected=expected.txt").assert_outcomes(passed=3, skipped=16)
    pytester.makefile(".txt", expected="relu/*/dx  # as before\nconv2d/*  # gone")
    result = run("--leakysm-conform=offered", "--leakysm-expected=expected.txt")
    result.assert_outcomes(passed=2, failed=1, skipped=16)
    result.stdout.fnmatch_lines(["*conv2d/*gone: did not happen*"])


def test_a_module_that_cannot_be_imported_fails_once(run) -> None:
    result = run("--leakysm-conform=no_such_module")
    result.assert_outcomes(failed=1, skipped=17)
    result.stdout.fnmatch_lines(["*no module no_such_module here*"])


@pytest.mark.parametrize(
    "option", ["--leakysm-array=numpy", "--leakysm-expected=x", "--leakysm-strict", "--leakysm-seed=0"]
)
def test_options_alone_are_bad_use(run, option: str) -> None:
    result = run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {option.partition('=')[0]} needs --leakysm-conform*"])


@pytest.mark.parametrize(
    ("content", "words"), [(None, "does not exist"), (b"\xff\xfe", "not text in UTF-8"), (b"x/*", "no reason")]
)
def test_a_file_of_expected_failures_that_is_none_is_bad_use(run, pytester, content: bytes | None, words: str) -> None:
    if content is not None:
        (pytester.path / "expected.txt").write_bytes(content)
    result = run("--leakysm-conform=offered", "--leakysm-expected=expected.txt")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: expected failures*{words}*"])
