"""A sweep's file: every combination once, and mistakes told before anything is trained."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.errors import UserError
from leakysm.experiments.sweep.file import SweepFile, read_sweep
from leakysm.experiments.sweep.points import local_machine, points, remote_machine

MACHINE = {"device": "cpu", "backend": "numpy", "threads": 1}


def written(folder: Path, text: str) -> Path:
    path = folder / "grid.toml"
    path.write_text(text)
    return path


def unique(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values, min_size=1, max_size=3, unique=True)


@given(
    thresholds=unique(st.floats(0, 100)),
    slopes=unique(st.floats(0.001, 1)),
    seeds=unique(st.integers(0, 9)),
    controls=unique(st.sampled_from(["euclidean", "cosine", "squared-euclidean"])),
)
def test_every_combination_is_one_run(thresholds: list, slopes: list, seeds: list, controls: list) -> None:
    grid = {"threshold": thresholds, "seed": seeds, "slope": slopes}
    sweep = SweepFile({"way": 5}, grid, [{"distance": name} for name in controls])
    runs = points(sweep, MACHINE)
    found = [(run.config.distance, run.config.threshold, run.config.slope, run.config.seed) for run in runs]
    wanted = [("leaky", t, s, seed) for t, seed, s in itertools.product(thresholds, seeds, slopes)]
    wanted += [(name, None, None, seed) for name in controls for seed in seeds]
    assert found == wanted
    assert len({run.folder for run in runs}) == len(runs)
    assert all(run.config.way == 5 and run.folder.startswith(run.config.distance) for run in runs)


def test_a_run_that_is_there_twice_is_made_once() -> None:
    sweep = SweepFile({}, {"threshold": [0.0, 1.0], "seed": [0]}, [{"threshold": 0.0}, {"distance": "leaky"}])
    assert [run.setting for run in points(sweep, MACHINE)] == [
        "leaky,threshold=0,slope=0.03",
        "leaky,threshold=1,slope=0.03",
    ]


def test_the_folder_is_named_by_all_settings_but_threads() -> None:
    def folder(threads: int | None = 1, **shared: object) -> str:
        (run,) = points(SweepFile(dict(shared), {"seed": [3]}, []), {**MACHINE, "threads": threads})
        return run.folder

    assert folder() == folder(threads=2) == folder(threads=None)
    assert folder() != folder(episodes=7)
    assert folder().startswith("leaky-threshold=1-slope=0.03-seed=3-")


def test_the_folder_of_many_settings_is_a_name_that_systems_allow() -> None:
    keys = ("way", "shot", "query", "episodes", "halve_every", "checkpoint_every", "test_shot", "test_query")
    grid = {key: [1, 2] for key in keys} | {"test_episodes": [100], "learning_rate": [0.12345678901234567]}
    grid |= {"optimizer": ["adam"], "norm": ["running"], "dataset": ["strokes"], "way": [3, 4]}
    runs = points(SweepFile({}, grid | {"seed": [3]}, []), MACHINE)
    assert len({run.folder for run in runs}) == 2**8
    assert max(len(run.folder.encode()) for run in runs) <= 255


def test_settings_that_vary_are_in_the_label(tmp_path: Path) -> None:
    text = 'distance = "cosine"\n[grid]\nlearning_rate = [1, 0.5]\nseed = [0]\n'
    runs = points(read_sweep(written(tmp_path, text)), MACHINE)
    assert [run.setting for run in runs] == ["cosine,learning_rate=1", "cosine,learning_rate=0.5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[grid]\nslop = [0.1]", r"grid\.toml: \[grid\]: unknown setting 'slop'; did you mean 'slope'\?"),
        ("wey = 5\n[grid]\nseed = [0]", r"grid\.toml: unknown setting 'wey'; did you mean 'way'\?"),
        ("[gird]\nseed = [0]", r"unknown setting 'gird'; did you mean 'grid'\?"),
        ('[[controls]]\ndistance = "cosine"', r"unknown setting 'controls'; did you mean 'control'\?"),
        ('[[control]]\ndistnace = "cosine"', r"\[\[control\]\]: unknown setting 'distnace'; did you mean 'distance'\?"),
        ("qqqq = 1\n[grid]\nseed = [0]", "unknown setting 'qqqq'; choose one of dataset, "),
        ("[grid]\nseed = 3", r"\[grid\]: seed is 3: expected a list"),
        ("[grid]\nseed = []", r"\[grid\]: seed is \[\]: give at least one value"),
        ("[grid]\nseed = [0, 1, 0]", r"\[grid\]: seed is \[0, 1, 0\]: 0 is given twice"),
        ("[grid]\nslope = [1, 1.0]", r"\[grid\]: slope is \[1, 1\.0\]: 1\.0 is given twice"),
        ('[grid]\nslope = ["steep"]', "slope holds 'steep': expected a number"),
        ("[grid]\nseed = [0]\n[[control]]\n", r"a \[\[control\]\] is empty; give it settings"),
        ("way = 5", r"there is no \[grid\] and no \[\[control\]\]"),
        ("grid = 3", "grid is 3: expected a table"),
        ('[control]\ndistance = "cosine"', r"write each control as a table \[\[control\]\]"),
        ("way = ", "is not TOML"),
    ],
)
def test_mistakes_in_the_file_are_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_sweep(written(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[grid]\nbackend = ['numpy', 'reference']", "backend differs between runs; set it for all of them"),
        ("[[control]]\nthreads = 1", "threads differs between runs; set it for all of them"),
        ("[grid]\nslope = [0.1, 2]\nseed = [0]", r"\[grid\]: slope holds 2: expected 0 < slope <= 1"),
        ("[grid]\nway = [5, 999]", "the run leaky,way=999: way is 999, but the train split has 300 classes"),
        (
            'distance = "cosine"\n[grid]\nslope = [0.1]',
            "the run cosine,slope=0.1: slope is given, but the distance is cosine",
        ),
        ('[grid]\nsplit = ["lake"]', "the run leaky,split=lake: split is given, but strokes has no choice"),
    ],
)
def test_a_run_that_cannot_be_is_told_before_any_is_trained(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        points(read_sweep(written(tmp_path, text)), MACHINE)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name a readable TOML file"):
        read_sweep(tmp_path / "none.toml")


def test_workers_elsewhere_have_devices_of_their_own() -> None:
    assert remote_machine({}) == {"device": "cpu", "backend": "numpy", "threads": None}
    assert remote_machine({"device": "cuda", "threads": 2}) == {"device": "cuda:0", "backend": "cupy", "threads": 2}
    assert local_machine({"device": "cpu"}, 3) == {"device": "cpu", "backend": "numpy", "threads": 3}
    assert local_machine({"device": "cpu", "threads": 1}, 3)["threads"] == 1
