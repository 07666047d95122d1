"""`--dry-run`: what would be done, as a file that does it, with the time it takes; and nothing done."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from leakysm_cli.before import time_lines
from leakysm_cli.compare import COMPARABLE
from typer.testing import Result

from leakysm.experiments.settings import parse_settings, resolve_each
from leakysm.experiments.sweep.file import SweepFile, read_sweep
from leakysm.experiments.sweep.points import points
from leakysm.experiments.sweep.written import sweep_of_settings, sweep_toml, with_defaults_of
from leakysm.runs import Loader, TrainConfig
from leakysm.runs.estimate import Estimate
from leakysm.runs.settings import read_settings
from tests.tiny_run import SETTINGS

MACHINE = {"device": "cpu", "backend": "numpy", "threads": 1}
STROKES = Loader()
TIME = r"# time: about [\d.]+ (ms|s|min)\b.*measured"


def printed(leakysm: Callable[..., Result], *words: str) -> str:
    """What the command prints with --dry-run, after a look that it left nothing but the cache."""
    result = leakysm(*words, "--dry-run")
    assert result.exit_code == 0, result.output
    assert [path.name for path in Path().iterdir() if path.name != "sweep.toml"] == [".cache"]
    assert re.search(TIME, result.stdout)
    return result.stdout


def test_the_settings_that_train_prints_make_the_same_run(leakysm: Callable[..., Result], tiny: list[str]) -> None:
    first = printed(leakysm, "train", *tiny, "--slope", "0.5")
    Path("sweep.toml").write_text(first)
    assert read_settings(Path("sweep.toml"))["slope"] == 0.5
    again = printed(leakysm, "train", "--config", "sweep.toml")
    assert again.splitlines()[3:] == first.splitlines()[3:]


def test_a_run_to_continue_is_printed_as_it_is_and_left_alone(leakysm: Callable[..., Result], run: Path) -> None:
    before = {path: path.read_bytes() for path in run.iterdir()}
    result = leakysm("train", "--out", "run", "--resume", "--dry-run")
    assert result.stdout.endswith((run / "config.toml").read_text())
    assert "0 training steps" in result.stdout
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_a_long_run_names_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    hours = Estimate(step=0.8, validation=0.0, test=40.0)
    monkeypatch.setattr("leakysm.runs.estimate.estimate", lambda config, data: hours)
    data: Any = None  # which nobody looks at
    config = TrainConfig(**{**SETTINGS, "episodes": 10_000})
    assert time_lines(config, data)[1:] == ["for a first look: --episodes 300 takes about 5 min"]
    assert len(time_lines(config, data, done=5000)) == len(time_lines(replace(config, episodes=900), data)) == 1


def test_a_comparison_and_the_gradients_are_printed_as_a_sweep(leakysm: Callable[..., Result], tiny: list[str]) -> None:
    for command in (["compare", *tiny], ["gradients", *tiny[:8], "--steps", "3"]):
        settings = ["--setting", "leaky,slope=0.5", "--setting", "cosine", "--seeds", "2", "--seed", "3"]
        Path("sweep.toml").write_text(printed(leakysm, *command, *settings))
        runs = points(read_sweep(Path("sweep.toml")), MACHINE)
        assert [(str(run.config.metric), run.config.seed) for run in runs] == [
            ("leaky threshold=1.0 slope=0.5 per=pair", 3),
            ("leaky threshold=1.0 slope=0.5 per=pair", 4),
            ("cosine", 3),
            ("cosine", 4),
        ]


@pytest.mark.parametrize(
    "second",
    [
        {"distance": "cosine", "threshold": None, "slope": None, "per": None},
        {"threshold": 2.0},
        {"threshold": 3.0, "norm": "episode"},
    ],
)
def test_a_comparison_as_a_sweep_has_the_same_configurations(second: dict[str, Any], tmp_path: Path) -> None:
    first = {**SETTINGS, "dataset": "strokes"}
    for configs in (
        [TrainConfig(**one) for one in pair] for pair in ((first, first | second), (first | second, first))
    ):
        (tmp_path / "sweep.toml").write_text(sweep_toml(sweep_of_settings(configs, [5])))
        runs = points(read_sweep(tmp_path / "sweep.toml"), {**MACHINE, "threads": None})
        assert [run.config for run in runs] == configs


OWN = """import leakysm as lk
class Twice(lk.Restriction):
    def value(self, xp, d): return 2 * d
    def derivative(self, xp, d): return 2 * xp.ones_like(d)
class Same(Twice):
    def value(self, xp, d): return d
"""
DISTANCES = ("squared-euclidean", "euclidean", "cosine", "leaky", "leaky,slope=0.5", "leaky,threshold=2,per=coordinate")
DISTANCES += ("log", "log,scale=2", "log,per=coordinate", "root,per=coordinate", "OWN:Twice", "OWN:Same,per=coordinate")


@given(
    distances=st.lists(st.sampled_from(DISTANCES), min_size=2, max_size=4),
    others=st.lists(
        st.sampled_from(("", ",learn_scale=true", ",norm=episode", ",learning_rate=0.5")), min_size=4, max_size=4
    ),
)
@example(["squared-euclidean", "euclidean"], [",learn_scale=true", "", "", ""])
@example(["leaky", "leaky"], [",learn_scale=true", "", "", ""])
@example(["OWN:Twice", "leaky"], [""] * 4)
@example(["OWN:Twice", "OWN:Same,per=coordinate"], [""] * 4)
@example(["leaky,threshold=2,per=coordinate", "log,per=coordinate"], [""] * 4)
def test_any_comparison_as_a_sweep_has_the_same_configurations(
    tmp_path_factory: pytest.TempPathFactory, distances: list[str], others: list[str]
) -> None:
    """A [[control]] says what it does not share with the first setting."""
    folder = tmp_path_factory.mktemp("formula")
    (folder / "own.py").write_text(OWN)
    texts = [(d + o).replace("OWN", str(folder / "own.py")) for d, o in zip(distances, others, strict=False)]
    settings = parse_settings(list(dict.fromkeys(texts)), COMPARABLE)
    configs, _ = resolve_each({"dataset": "strokes", "seed": 5} | MACHINE, settings, STROKES)
    (folder / "sweep.toml").write_text(sweep_toml(sweep_of_settings(list(configs.values()), [5])))
    runs = points(read_sweep(folder / "sweep.toml"), MACHINE, STROKES)
    assert [run.config for run in runs] == list(configs.values())
    (folder / "sweep.toml").write_text(
        sweep_toml(with_defaults_of(read_sweep(folder / "sweep.toml"), list(configs.values())))
    )
    assert points(read_sweep(folder / "sweep.toml"), MACHINE, STROKES) == runs


def test_the_file_that_a_sweep_prints_has_the_same_runs(tmp_path: Path) -> None:
    grid = {"slope": [0.1, 0.5], "seed": [0, 1]}
    sweep = SweepFile({"threshold": 2.0, "way": 3, "test_way": (3, 4)}, grid, [{"distance": "euclidean", "query": 2}])
    runs = points(sweep, MACHINE)
    (tmp_path / "sweep.toml").write_text(sweep_toml(with_defaults_of(sweep, [run.config for run in runs])))
    filled = read_sweep(tmp_path / "sweep.toml")
    assert points(filled, MACHINE) == runs
    assert filled.shared["learning_rate"] == 0.001


def test_a_sweep_prints_its_file(leakysm: Callable[..., Result], tiny: list[str]) -> None:
    text = f'dataset = "folder"\ndata = "{tiny[3]}"\nway = 3\nquery = 2\n[grid]\nslope = [0.1, 0.5]\n'
    Path("sweep.toml").write_text(text)
    told = printed(leakysm, "sweep", "sweep.toml")
    assert "# 2 runs\n" in told
    assert told.endswith("\n[grid]\nslope = [0.1, 0.5]\n")


def test_a_run_that_is_stopped_while_steps_are_timed_leaves_no_folder(
    leakysm: Callable[..., Result], tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("leakysm.runs.estimate.estimate", stopped)
    for command in ("train", "compare"):
        assert leakysm(command, *tiny, "--episodes", "60").exit_code == 130
        assert not Path("runs").exists()


def test_time_is_unknown_where_the_first_steps_fail(leakysm: Callable[..., Result], tiny: list[str]) -> None:
    wild = ["--learning-rate", "1e38", "--optimizer", "sgd", "--dry-run"]
    assert "# time: unknown; the first steps fail" in leakysm("train", *tiny, *wild).stdout
