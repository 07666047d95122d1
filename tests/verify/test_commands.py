"""The commands verify, conform and vectors: tables, JSON, exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from leakysm_cli.main import app
from typer.testing import CliRunner

from leakysm.verify.processes import mapped

GOOD = "def relu(x):\n    return x * (x > 0)\n"
WRONG = "def relu(x):\n    return x * (x > -1)\n"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])
    for name in ("good", "wrong"):
        sys.modules.pop(name, None)


def test_verify_prints_errors_and_gradients_and_exits_0(run) -> None:
    result = run("verify", "--backend", "reference", "--operation", "relu", "--operation", "log_softmax")
    assert result.exit_code == 0, result.output
    assert "error / bound" in result.output
    assert "Jacobian" in result.output
    assert "2 operations" in result.output.splitlines()[-1]


@pytest.mark.parametrize("words", [("verify", "--operation", "relu"), ("conform", "good")])
def test_no_files_are_left_where_it_is_started(tmp_path: Path, words: tuple[str, ...]) -> None:
    here, cache = tmp_path / "here", tmp_path / "cache"
    here.mkdir()
    (here / "good.py").write_text(GOOD)
    command = [sys.executable, "-B", "-c", "from leakysm_cli.main import main; main()", *words]
    subprocess.run(command, cwd=here, env=os.environ | {"LEAKYSM_CACHE": str(cache)}, check=True, capture_output=True)
    assert [path.name for path in here.iterdir()] == ["good.py"]


def test_verify_speaks_json(run) -> None:
    found = json.loads(run("verify", "--operation", "relu", "--json").output)
    assert found["ok"] is True
    assert found["name"] == "numpy"
    assert {worst["dtype"] for worst in found["operations"][0]["worst"]} == {"float16", "float32", "float64"}
    assert found["gradients"][0]["problems"] == []


def test_verify_exits_1_with_the_smallest_example_when_a_bound_breaks(run, monkeypatch: pytest.MonkeyPatch) -> None:
    from leakysm.backends.protocol import Pair
    from leakysm.backends.reference import ReferenceEngine

    wrong = Pair(lambda x: (x * 2, x), lambda saved, dy: dy)
    monkeypatch.setattr(ReferenceEngine, "operation", lambda self, name: wrong)
    result = run("verify", "--backend", "reference", "--operation", "relu")
    assert result.exit_code == 1
    assert 'engine = lk.backend("reference")' in result.output
    assert "is exact: the error is beyond any bound" in result.output


@pytest.mark.parametrize("arguments", [["--backend", "torch"], ["--operation", "squared"]])
def test_bad_use_of_verify_is_one_line(run, arguments: list[str]) -> None:
    result = run("verify", *arguments)
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1


def test_conform_exits_0_if_one_is_offered_and_none_fails(run, tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    result = run("conform", "good", "--examples", "3")
    assert result.exit_code == 0, result.output
    assert "1 of 17 operations offered: none fails" in result.output


def test_conform_exits_1_with_a_counterexample(run, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    result = run("conform", "wrong.py", "--operation", "relu", "--examples", "0")
    assert result.exit_code == 1
    assert "import wrong" in result.output
    assert "failed: relu" in result.output


@pytest.mark.parametrize("target", ["no_such_module", "json"])
def test_conform_ends_in_a_row_whatever_the_module_is(run, target: str) -> None:
    result = run("conform", target, "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["operations"][0]["status"] == "broken"


def test_conform_reads_expected_failures(run, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "expected.txt").write_text("relu/*  # keeps small negative numbers\n")
    result = run("conform", "wrong", "--operation", "relu", "--expected", "expected.txt")
    assert result.exit_code == 0
    assert "expected: keeps small negative numbers" in result.output
    result = run("conform", "wrong", "--operation", "relu", "--expected", "nowhere.txt")
    assert result.exit_code == 2
    assert "nowhere.txt" in result.output


FOREIGN = "def relu(inputs, alpha):\n    return inputs * (inputs > 0)\n"


def test_conform_fails_if_a_function_cannot_be_called_or_is_missing(run, tmp_path: Path) -> None:
    (tmp_path / "foreign.py").write_text(FOREIGN)
    result = run("conform", "foreign.py", "--operation", "relu")
    assert result.exit_code == 1
    assert "relu takes (inputs, alpha); (x) is needed" in result.output
    assert "cannot be called" in result.output
    assert "0 cases" not in result.output
    (tmp_path / "good.py").write_text(GOOD)
    words = ("conform", "good.py", "--operation", "relu", "--examples", 0)
    result = run(*words, "--require", "conv2d")
    assert (result.exit_code, "conv2d is required and not offered" in result.output) == (1, True)


def test_conform_requires_gradients_and_names_a_misnamed_one(run, tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD + "def relu_vpj(x, dy):\n    return dy * (x > 0)\n")
    words = ("conform", "good.py", "--operation", "relu", "--examples", 0, "--require", "relu")
    result = run(*words)
    assert result.exit_code == 1
    assert "relu_vpj is not used: did you mean relu_vjp?" in result.output
    assert "relu is required and has no gradient: define relu_vjp" in result.output
    assert result.output.splitlines()[-1].endswith("failed: relu_vjp")
    (tmp_path / "good.py").write_text(GOOD + "def relu_vjp(x, dy):\n    return dy * (x > 0)\n")
    assert run(*words).exit_code == 0


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("nomod", "no module nomod here; give the path of its .py file, or run in its folder"),
        (".", "'.' is a folder; give a module's name"),
        (":relu", ":relu: '' is not a module's name; give a module's name"),
        ("my-losses", "'my-losses' is not a module's name; give a module's name"),
        ("leakysm:relu", "leakysm:relu is a function; give its module with --operation relu: leakysm"),
        ("empty", "empty: offers nothing; define a function of one of these names"),
    ],
)
def test_conform_says_in_one_line_that_there_is_nothing_to_check(run, tmp_path: Path, target: str, told: str) -> None:
    (tmp_path / "empty.py").write_text("import math\n")
    result = run("conform", target)
    assert result.exit_code == 1
    assert result.output.startswith(told)
    assert len(result.output.splitlines()) == 1


def test_the_hint_names_the_flag_that_says_most() -> None:
    from leakysm.verify.flags import by_what_they_say, flag_to_advise
    from leakysm.verify.report import Report, Row, hints, summary_rows

    failures = {"random": 9, "subnormal": 3, "size": 3, "saturated": 6}
    assert by_what_they_say(failures) == ["saturated", "size", "subnormal", "random"]
    assert by_what_they_say({"saturated": 6, "plain": 1})[0] == "plain"
    assert flag_to_advise("size", failures, numbers=3000) == "size"
    assert flag_to_advise("size", failures, numbers=1) == "saturated"  # not of its size
    assert flag_to_advise("purity", failures | {"purity": 7}, numbers=1) == "purity"
    report = Report("m", {}, [Row("cross_entropy", "failed", 20, failures=failures, flag="saturated")])
    assert hints(report)[-1].startswith("cross_entropy, what to do (saturated): Use log1p")
    assert "random 9" in hints(report)[0]
    assert "random" not in summary_rows(report)[0][-1]


def test_conform_checks_as_much_as_it_is_told(run, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("def relu(x):\n    return x * (x > -1)\ndef relu_vjp(x, dy):\n    return dy\n")
    words = ("conform", "wrong.py", "--operation", "relu", "--json", "--dtype", "float64", "--seed", 5, "--every-flag")
    result = run(*words, "--examples", 2, "--time-limit", 60)
    found = json.loads(result.stdout)
    assert found["version"] == 2
    relu = found["operations"][0]
    assert {worst["dtype"] for worst in relu["worst"]} == {"float64"}
    assert len(relu["others"]) == len(relu["failures"]) - 1
    assert "relu: failed" in result.stderr


def test_conform_explains_a_flag_without_a_module(run) -> None:
    result = run("conform", "--explain", "saturated")
    assert result.exit_code == 0
    assert "What to do: Use log1p" in result.output
    for words in (("--explain", "typo"), (), ("good", "--dtype", "float8")):
        assert run("conform", *words).exit_code == 2


def test_every_flag_says_what_to_do() -> None:
    from leakysm.verify.flags import FLAGS

    for flag in FLAGS.values():
        assert flag.finds
        assert flag.mend


def test_operations_that_are_not_offered_are_one_line(run, tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    lines = run("conform", "good.py", "--examples", 0).stdout.splitlines()
    assert len([line for line in lines if "conv2d" in line]) == 1
    assert next(line for line in lines if "conv2d" in line).startswith("not offered: ")


def test_vectors_are_listed_by_operation_and_flag(run) -> None:
    result = run("vectors", "list", "--operation", "cross_entropy", "--flag", "saturated")
    assert result.exit_code == 0
    assert "cross_entropy/saturated-wrong" in result.output
    assert "relu/" not in result.output
    found = json.loads(run("vectors", "list", "--operation", "conv4", "--json").output)
    assert found["conv4/full-leaky"]["arithmetic"] == "float64"


def test_vectors_are_exported_by_ending(run, tmp_path: Path) -> None:
    assert run("vectors", "export", "relu.json", "--operation", "relu").exit_code == 0
    assert "relu/zero" in json.loads((tmp_path / "relu.json").read_text())["cases"]
    assert run("vectors", "export", "relu.csv").exit_code == 2


def test_vectors_are_exported_to_a_folder(run, tmp_path: Path) -> None:
    for format, name in (("json", "relu.json.gz"), ("text", "relu.txt")):
        assert run("vectors", "export", "out", "--operation", "relu", "--format", format).exit_code == 0
        assert (tmp_path / "out" / name).is_file()
    result = run("vectors", "export", "relu.json", "--format", "text")
    assert (result.exit_code, "leave one out" in result.stderr) == (2, True)


def test_vectors_alone_names_its_subcommands(run) -> None:
    result = run("vectors")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "choose a subcommand: list, check, export or make" in result.stderr


@pytest.mark.parametrize("command", [("list",), ("export", "out"), ("check",)])
def test_changed_bytes_are_found_before_a_file_is_opened(run, tmp_path: Path, command: tuple[str, ...]) -> None:
    import shutil

    from leakysm.verify.vectors import stored

    shutil.copytree(stored.folder(), tmp_path / "copy")
    file = tmp_path / "copy" / stored.NETS
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    result = run("vectors", *command, "--data", "copy")
    assert (result.exit_code, "nets.h5: the SHA-256 is" in result.stderr) == (1, True)


def test_vectors_check_the_files_alone(run) -> None:
    result = run("vectors", "check", "--backend", "none")
    assert result.exit_code == 0
    assert "operations.h5" in result.output


def test_vectors_check_one_operation(run) -> None:
    result = run("vectors", "check", "--backend", "reference", "--operation", "conv4")
    assert result.exit_code == 0, result.output
    assert "reference: 4 cases" in result.output.splitlines()[-1]
    assert run("vectors", "list", "--operation", "conv4").output.splitlines()[-1].startswith("4 of")


def test_vectors_check_of_no_engine_has_no_operation(run) -> None:
    assert run("vectors", "check", "--backend", "none", "--operation", "relu").exit_code == 2


def test_what_a_module_prints_is_no_part_of_the_report(run, tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("print('imported')\n" + GOOD.replace("\n", "\n    print('called')\n", 1))
    result = run("conform", "good", "--json", "--examples", 0)
    assert json.loads(result.stdout)["ok"] is True
    assert result.stderr.splitlines()[:2] == ["imported", "called"]


def test_json_is_strict(run, tmp_path: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    (tmp_path / "wrong.py").write_text("def relu(x):\n    return x.ravel()\n")
    result = run("conform", "wrong", "--json", "--examples", 0)
    assert result.exit_code == 1
    found = json.loads(result.stdout, parse_constant=refuse)
    (relu,) = (row for row in found["operations"] if row["operation"] == "relu")
    assert None in [worst["ratio"] for worst in relu["worst"]]


def test_a_file_of_expected_failures_that_is_no_text_is_bad_use(run, tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "expected").write_bytes(b"\xff\xfe")
    for name, words in (("expected", "is not text in UTF-8"), ("missing", "does not exist")):
        result = run("conform", "good", "--expected", name)
        assert (result.exit_code, words in result.stderr) == (2, True)


def test_what_an_engine_does_not_have_is_refused(run) -> None:
    result = run("verify", "--backend", "reference", "--threads", 2, "--operation", "relu")
    assert result.exit_code == 2
    assert "--threads is only for numpy" in result.stderr


def test_an_unknown_flag_is_bad_use(run) -> None:
    result = run("vectors", "list", "--flag", "typo")
    assert result.exit_code == 2
    assert "flag is 'typo'; choose one of plain, " in result.stderr


@pytest.mark.parametrize("command", [("check",), ("make", "--out", "new")])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"{}",
        b'{"version": "1.0.0", "files": 5}',
        b'{"version": "1.0.0", "files": {"a": {}}}',
    ],
)
def test_a_damaged_manifest_is_told(run, tmp_path: Path, command: tuple[str, ...], content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    result = run("vectors", *command, "--data", tmp_path)
    assert (result.exit_code, "manifest.json is damaged" in result.stderr) == (1, True)


def test_vectors_are_not_compared_with_nothing(run, tmp_path: Path) -> None:
    result = run("vectors", "make", "--out", tmp_path / "new", "--data", tmp_path / "mistyped")
    assert (result.exit_code, "manifest.json is missing" in result.stderr) == (2, True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["list", "check"])
def test_an_unknown_operation_of_vectors_is_bad_use(run, command: str) -> None:
    assert run("vectors", command, "--operation", "relus").exit_code == 2


def test_vectors_are_put_into_no_folder_of_something_else(run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for words in (("make", "--out", tmp_path), ("export", tmp_path, "--operation", "relu")):
        result = run("vectors", *words)
        assert result.exit_code == 2
        assert "holds something else (notes.txt)" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_threads_of_several_processes_do_not_wait_in_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a loop they would take the cores from each other. What the user sets stays."""
    for own in (None, "ACTIVE"):
        if own is not None:
            monkeypatch.setenv("OMP_WAIT_POLICY", own)
        with mapped(os.getenv, ["OMP_WAIT_POLICY", "HOME"], 2) as values:
            assert dict(values)[0] == (own or "PASSIVE")
