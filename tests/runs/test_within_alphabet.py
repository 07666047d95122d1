"""The within-alphabet protocol on drawings that are told apart with certainty, some of them wrongly labelled."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from leakysm.data import Dataset
from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError
from leakysm.runs import TrainConfig, evaluate_within_alphabet, train

Make = Callable[..., TrainConfig]


def shown(run: int, item: int) -> int:
    """The class whose drawing item `item` of a run is."""
    return (3 * item + run) % 20


def wrong(run: int, item: int) -> bool:
    """Whether the item's label names another class: of `run % 3` items a run."""
    return item < run % 3


@pytest.fixture(scope="module")
def all_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders as all_runs.zip has them: every test item is one of the training drawings, dot for dot."""
    root = tmp_path_factory.mktemp("all_runs")
    rng = np.random.default_rng(0)
    drawings = [np.kron(rng.random((15, 15)) < 0.7, np.ones((7, 7), bool)) for _ in range(20)]
    for run in range(20):
        name, labels = f"run{run + 1:02d}", []
        for folder in ("training", "test"):
            (root / name / folder).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(drawings[i]).save(root / name / "training" / f"class{i + 1:02d}.png")
            Image.fromarray(drawings[shown(run, i)]).save(root / name / "test" / f"item{i + 1:02d}.png")
            label = (shown(run, i) + wrong(run, i)) % 20
            labels.append(f"{name}/test/item{i + 1:02d}.png {name}/training/class{label + 1:02d}.png")
        (root / name / "class_labels.txt").write_text("\n".join(labels))
    return root


@pytest.fixture(scope="module")
def run(config: Make, make_data: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net for 28x28 drawings in ink, barely trained."""
    data = make_data()
    splits = {
        name: replace(one, images=np.pad(one.images, ((0, 0), (6, 6), (6, 6), (0, 0))))
        for name, one in data.splits.items()
    }
    out = tmp_path_factory.mktemp("within") / "run"
    train(
        config(episodes=1),
        data=replace(data, splits=splits, inputs=InputFormat.unscaled((28, 28, 1), ink=True)),
        out=out,
    )
    return out


@pytest.mark.parametrize("norm", ["running", "episode"])
def test_the_error_is_the_part_of_items_with_another_label(run: Path, all_runs: Path, norm: str) -> None:
    found = evaluate_within_alphabet(run, data=str(all_runs), norm=norm)
    errors = np.array([sum(wrong(r, i) for i in range(20)) / 20 for r in range(20)])
    eps = 100 * 20 * np.finfo(float).eps
    assert abs(found.error - 100 * errors.mean()) <= eps
    assert abs(found.interval - 196 * errors.std(ddof=1) / np.sqrt(20)) <= eps
    assert (found.way, found.shot, found.episodes, found.norm) == (20, 1, 20, norm)


def test_the_command_prints_it(run: Path, all_runs: Path) -> None:
    from leakysm_cli.main import app

    command = ["evaluate", str(run), "--protocol", "within-alphabet", "--data", str(all_runs)]
    line = CliRunner().invoke(app, command).stdout
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert {"way", "shot", "norm", "error", "interval", "episodes"} < set(found)
    assert (found["checkpoint"], found["checkpoint_episode"], found["finished"]) == ("checkpoint-best.h5", 1, True)
    expected = f"within alphabet, 20-way 1-shot, 20 runs: error {found['error']:.2f} % +- {found['interval']:.2f} %\n"
    assert line == expected


def test_the_files_must_be_named(run: Path) -> None:
    with pytest.raises(UserError, match=r"needs Omniglot's all_runs\.zip; give the place with --data"):
        evaluate_within_alphabet(run)
