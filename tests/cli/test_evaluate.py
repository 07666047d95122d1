"""`leakysm evaluate` and `leakysm info`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

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
    first, last = leakysm("evaluate", "run").stdout.splitlines()
    assert re.fullmatch(r"run is not finished: tested checkpoint-best\.h5, after [246] episodes", first)
    assert last.startswith("2-way 1-shot, 10 test episodes: accuracy")
    (run / "checkpoint-best.h5").unlink()
    tested = json.loads(leakysm("evaluate", "run", "--json").stdout)
    assert (tested["checkpoint"], tested["checkpoint_episode"], tested["finished"]) == ("checkpoint-last.h5", 6, False)


def test_an_altered_configuration_is_refused(fails: Fails, run: Path) -> None:
    config = run / "config.toml"
    config.write_text(config.read_text().replace("slope = 0.1", "slope = 0.9"))
    assert "checkpoint-best.h5 is another run's than config.toml" in fails("evaluate", "run")


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["elsewhere"], "elsewhere holds no run"),
        (["run", "--way", "5"], "way is 5, but the test split has 4 classes"),
        (["run", "--shot", "3"], "shot + query is 3 + 2 = 5"),
        (["run", "--episodes", "1"], "test_episodes is 1: give 2 or more"),
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
