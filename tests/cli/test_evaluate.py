"""`leakysm evaluate` and `leakysm info`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import Result

from leakysm.errors import UserError
from leakysm.runs.folder import RunFolder
from leakysm.runs.kept_tests import keep_test
from leakysm.runs.results import read_summary, with_episodes

Leakysm = Callable[..., Result]
Fails = Callable[..., str]


def test_without_options_it_is_the_test_of_the_run(leakysm: Leakysm, run: Path) -> None:
    result = leakysm("evaluate", "run", "--json")
    assert result.exit_code == 0
    summary = json.loads((run / "summary.json").read_text())
    tested = {"checkpoint": "checkpoint-best.h5", "checkpoint_episode": summary["checkpoint_episode"], "finished": True}
    assert json.loads(result.stdout) == summary["tests"][0] | tested


def test_of_a_run_that_is_not_finished_the_checkpoint_is_named(leakysm: Leakysm, run: Path) -> None:
    (run / "summary.json").unlink()
    result = leakysm("evaluate", "run")
    assert re.search(r"run is not finished: tested checkpoint-best\.h5, after [246] episodes\n", result.stderr)
    last = result.stdout
    assert last.startswith("2-way 1-shot, 10 test episodes: accuracy")
    (run / "checkpoint-best.h5").unlink()
    tested = json.loads(leakysm("evaluate", "run", "--json").stdout)
    assert (tested["checkpoint"], tested["checkpoint_episode"], tested["finished"]) == ("checkpoint-last.h5", 6, False)


def test_an_altered_configuration_is_refused(fails: Fails, run: Path) -> None:
    config = run / "config.toml"
    config.write_text(config.read_text().replace("slope = 0.03", "slope = 0.9"))
    assert "checkpoint-best.h5 belongs to another run than config.toml" in fails("evaluate", "run")


def test_options_change_the_test(leakysm: Leakysm, run: Path) -> None:
    options = ["--way", "3", "--shot", "2", "--query", "1", "--episodes", "7", "--seed", "3", "--norm", "episode"]
    tested = json.loads(leakysm("evaluate", "run", *options, "--json").stdout)
    assert {k: tested[k] for k in ("way", "shot", "query", "episodes", "norm")} == {
        "way": 3,
        "shot": 2,
        "query": 1,
        "episodes": 7,
        "norm": "episode",
    }
    assert 0 <= tested["accuracy"] <= 100
    line = leakysm("evaluate", "run", *options).stdout
    assert line == (
        f"3-way 2-shot, 7 test episodes: accuracy {tested['accuracy']:.2f} % +- {tested['interval']:.2f} %\n"
    )


def test_a_kept_test_joins_those_of_the_run(leakysm: Leakysm, fails: Fails, run: Path) -> None:
    before = json.loads((run / "summary.json").read_text())
    options = ["--way", "3", "--shot", "2", "--episodes", "7", "--keep"]
    tested = json.loads(leakysm("evaluate", "run", *options, "--json").stdout)
    after = json.loads((run / "summary.json").read_text())
    assert after["tests"][:-1] == before["tests"]
    assert after["tests"][-1] == {key: tested[key] for key in after["tests"][-1]}
    assert {k: v for k, v in after.items() if k != "tests"} == {k: v for k, v in before.items() if k != "tests"}
    with h5py.File(run / "test-episodes.h5") as file:
        assert file["3-way 2-shot"].shape == (7,)
        accuracy = 100 * np.mean(file["3-way 2-shot"])
        assert abs(accuracy - tested["accuracy"]) <= 100 * 7 * np.finfo(float).eps
        assert set(file) == {f"{test['way']}-way {test['shot']}-shot" for test in after["tests"]}
    leakysm("evaluate", "run", *options)  # again: nothing twice
    leakysm("train", "--out", "run", "--resume")  # it is finished: nothing to do
    assert json.loads((run / "summary.json").read_text()) == after
    message = fails("evaluate", "run", "--way", "3", "--shot", "2", "--episodes", "8", "--keep")
    assert "already holds 3-way 2-shot" in message
    assert "7 episodes" in message
    assert json.loads((run / "summary.json").read_text()) == after


def test_a_test_that_came_out_otherwise_replaces_none(run: Path) -> None:
    folder = RunFolder(run)
    summary, tests = read_summary(folder.summary)
    (test,) = with_episodes(folder.test_episodes, tests)
    before = folder.summary.read_bytes()
    with pytest.raises(UserError, match=r"already holds 2-way 1-shot with .* %, but this test gives 0\.00 %"):
        keep_test(folder, replace(test, accuracy=0.0, per_episode=0 * test.per_episode - 1), summary["data_digest"])
    assert folder.summary.read_bytes() == before


def test_a_kept_test_covers_for_no_altered_file(leakysm: Leakysm, run: Path) -> None:
    """The manifest still lists what the run's own files were."""
    (run / "metrics.csv").write_bytes(b"")
    leakysm("evaluate", "run", "--way", "3", "--keep")
    assert "failed: run/metrics.csv was altered" in leakysm("audit", "run", "--episodes", "0").stdout


@pytest.mark.parametrize(
    ("option", "message"),
    [(["--seed", "3"], "--seed is 3, the run's is 0"), (["--norm", "episode"], "--norm is episode")],
)
def test_a_test_that_forms_no_pairs_is_not_kept(fails: Fails, run: Path, option: list[str], message: str) -> None:
    assert message in fails("evaluate", "run", "--way", "3", *option, "--keep")


def test_of_a_run_that_is_not_finished_no_test_is_kept(fails: Fails, run: Path) -> None:
    (run / "summary.json").unlink()
    assert "is not finished" in fails("evaluate", "run", "--keep")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["elsewhere"], "elsewhere does not exist"),
        (["run", "--way", "1"], "--way is 1: give 2 or more"),
        (["run", "--way", "5"], "way is 5, but the test split has 4 classes"),
        (["run", "--shot", "3"], "shot + query is 3 + 2 = 5"),
        (["run", "--episodes", "1"], "--episodes is 1: give 2 or more"),
        (["run", "--data", "nowhere"], "nowhere: no such file"),
        (["run", "--protocol", "within-alphabet"], "needs a net for drawings [28, 28, 1]"),
        (["run", "--protocol", "within-alphabet", "--way", "5"], "--way is given, but the within-alphabet protocol"),
    ],
)
def test_what_cannot_be_is_told(fails: Fails, run: Path, arguments: list[str], message: str) -> None:
    assert message in fails("evaluate", *arguments)


def test_other_pictures_are_not_the_data_of_the_run(fails: Fails, pictures: Path, run: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(pictures, tmp_path / "other")
    (tmp_path / "other" / "test" / "test3" / "0.png").unlink()
    assert "not the data of run" in fails("evaluate", "run", "--data", "other", "--query", "1")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"{}", b'{"tests": 3}', b'{"tests": [{"way": 5}]}'])
def test_a_damaged_summary_is_told(fails: Fails, run: Path, content: bytes) -> None:
    (run / "summary.json").write_bytes(content)
    assert "summary.json is damaged (" in fails("evaluate", "run", "--way", "3", "--keep")


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_a_best_checkpoint_that_is_gone_is_told(fails: Fails, run: Path, command: str) -> None:
    (run / "checkpoint-best.h5").unlink()
    assert "checkpoint-best.h5 is missing, but summary.json names it" in fails(command, "run")


def test_a_damaged_checkpoint_is_told(fails: Fails, run: Path) -> None:
    best = run / "checkpoint-best.h5"
    best.write_bytes(best.read_bytes()[:-1])
    assert "checkpoint-best.h5 is damaged" in fails("evaluate", "run")


def test_info_names_versions_devices_and_data(leakysm: Leakysm) -> None:
    found = json.loads(leakysm("info", "--json").stdout)
    assert found["packages"]["numpy"] == np.__version__
    assert found["cores"] >= 1
    assert {"leakysm", "python", "system", "processor", "linear_algebra", "cuda", "data"} <= set(found)
    lines = leakysm("info").stdout
    assert re.search(rf"^packages .*numpy {re.escape(np.__version__)}", lines, re.MULTILINE)
