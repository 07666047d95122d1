"""`leakysm gradients` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.experiments.command import leakysm, refused

SMALL = ("--way", 5, "--query", 2, "--steps", 2, "--seeds", 2, "--device", "cpu")


def test_it_ends_with_the_folder_and_the_effect(tmp_path: Path) -> None:
    outcome = leakysm("gradients", *SMALL, "--out", tmp_path / "g")
    assert outcome.code == 0
    *_, folder, files, report, last = outcome.out.splitlines()
    assert folder == str(tmp_path / "g")
    assert files == "files: gradients.csv, claims.csv, gradients.png, gradients.json, claims.md"
    assert report == f"next: leakysm report {tmp_path / 'g'}"
    assert last.startswith("gradient entries below 1e-3 at step 0: squared-euclidean ")
    assert last.endswith("(2 seeds)")
    assert sorted(path.name for path in (tmp_path / "g").iterdir()) == [
        "claims.csv",
        "claims.md",
        "gradients.csv",
        "gradients.json",
        "gradients.png",
    ]


def test_json_is_the_file_and_histograms_are_drawn_when_asked_for(tmp_path: Path) -> None:
    settings = ("--setting", "euclidean", "--setting", "leaky,threshold=0,slope=0.1")
    outcome = leakysm("gradients", *SMALL, *settings, "--histogram", "1,0", "--json", "--out", tmp_path)
    printed = json.loads(outcome.out)
    assert printed == json.loads((tmp_path / "gradients.json").read_text())
    assert [one["setting"] for one in printed["settings"]] == ["euclidean", "leaky,threshold=0,slope=0.1"]
    assert (printed["seeds"], printed["steps"]) == ([0, 1], 2)
    header, *rows = (tmp_path / "histogram.csv").read_text().splitlines()
    assert header == "setting,seed,step,quantity,low,high,count"
    assert {row.split('"')[-1].split(",")[-5] for row in rows} == {"0", "1"}
    assert (tmp_path / "histogram.png").exists()


def test_a_suggestion_from_ones_own_data_is_a_command_line() -> None:
    outcome = leakysm("gradients", "--suggest", "--way", 5, "--seeds", 1, "--device", "cpu", "--seed", 3)
    assert outcome.code == 0
    command = outcome.out.splitlines()[-1].split()
    assert command[:3] == ["leakysm", "train", "--way=5"]
    assert "--distance=leaky" in command
    as_json = json.loads(leakysm("gradients", "--suggest", "--way", 5, "--seeds", 1, "--seed", 3, "--json").out)
    assert as_json["distance"]["name"] == "leaky"
    assert f"--slope={as_json['distance']['slope']}" in command
    assert as_json["after"]["mean_query_gradient"] < 1 < as_json["before"]["mean_query_gradient"]
    target = json.loads(leakysm("gradients", "--suggest", "--way", 5, "--seeds", 1, "--target", 0.1, "--json").out)
    assert target["after"]["vanished_distance_gradients"] <= 0.1 < target["before"]["vanished_distance_gradients"]


def test_where_no_restriction_is_needed_that_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", 0.1 * np.random.default_rng(0).standard_normal((5, 10, 4)))
    usual = leakysm("gradients", "--suggest", "--embeddings", tmp_path / "z.npy")
    assert "no restriction is needed: distances grow no faster than unsquared ones" in usual.out
    outcome = leakysm("gradients", "--suggest", "--embeddings", tmp_path / "z.npy", "--target", 0.1)
    assert outcome.code == 0
    assert "no restriction is needed: at most 10 % of the gradient entries vanish without one" in outcome.out
    assert outcome.out.count("squared-euclidean") == 1  # the table's one column
    assert outcome.out.splitlines()[-1] == "lk.SquaredEuclidean()"


@pytest.mark.parametrize("form", ["npy", "h5"])
def test_a_suggestion_from_embeddings_in_a_file(tmp_path: Path, form: str) -> None:
    z = 20 * np.random.default_rng(0).standard_normal((60, 16))
    labels = np.arange(60) % 6
    if form == "npy":
        np.save(tmp_path / "z.npy", z)
        np.save(tmp_path / "labels.npy", labels)
        source = ("--embeddings", tmp_path / "z.npy", "--labels", tmp_path / "labels.npy")
    else:
        with h5py.File(tmp_path / "z.h5", "w") as file:
            file["embeddings"], file["labels"] = z, labels
        source = ("--embeddings", tmp_path / "z.h5")
    found = json.loads(leakysm("gradients", "--suggest", *source, "--json").out)
    assert found["after"]["mean_query_gradient"] < 1 < found["before"]["mean_query_gradient"]
    assert found["distance"]["slope"] < 0.05
    outcome = leakysm("gradients", "--suggest", *source, "--seed", 3)
    assert outcome.out.splitlines()[-1].startswith("lk.LeakySquaredEuclidean(threshold=1.0, slope=")
    assert "the distance in Python" in outcome.out


def test_bad_use_is_one_line(tmp_path: Path) -> None:
    assert "--setting cannot be used with --suggest" in refused("gradients", "--suggest", "--setting", "euclidean")
    assert "expected steps from 0 to 1" in refused("gradients", *SMALL, "--histogram", "2")
    assert "expected steps from 0 to 1" in refused("gradients", *SMALL, "--histogram", "first")
    assert "did you mean 'leaky'?" in refused("gradients", *SMALL, "--setting", "leeky")
    assert "is only for --suggest" in refused("gradients", *SMALL, "--embeddings", "z.npy")
    assert "is only for --embeddings" in refused("gradients", "--suggest", "--labels", "z.npy")
    assert "expected a fraction between 0 and 1" in refused("gradients", "--suggest", "--target", "10")
    assert "--dataset cannot be used" in refused(
        "gradients", "--suggest", "--embeddings", "z.npy", "--dataset", "strokes"
    )
    for option in (("--steps", 3), ("--out", tmp_path / "x")):
        assert f"{option[0]} cannot be used with --suggest" in refused("gradients", "--suggest", *option)
    assert "--target is only for --suggest" in refused("gradients", *SMALL, "--target", 0.2)
    embedded = ("gradients", "--suggest", "--embeddings", "z.npy")
    assert "--seeds cannot be used with --embeddings" in refused(*embedded, "--seeds", 2)
    assert "seed is -5" in refused(*embedded, "--seed", -5)
    np.save(tmp_path / "cube.npy", np.ones((3, 4, 5)))
    np.save(tmp_path / "flat.npy", np.ones((12, 5)))
    np.save(tmp_path / "labels.npy", np.arange(9))

    def labelled(name: str) -> str:
        files = ("--embeddings", tmp_path / name, "--labels", tmp_path / "labels.npy")
        return refused("gradients", "--suggest", *files)

    assert "which is (classes, n, D) and gives the classes; leave --labels out" in labelled("cube.npy")
    assert f"{tmp_path / 'labels.npy'}: labels are int64 of shape (9,)" in labelled("flat.npy")
    assert "way is 999" in refused("gradients", "--way", "999", "--out", tmp_path / "x")
    (tmp_path / "file").write_text("")
    assert "choose another --out" in refused("gradients", *SMALL, "--out", tmp_path / "file")
    assert "exists already; choose another --out" in refused("gradients", *SMALL, "--out", tmp_path)
    assert "--histogram is empty" in refused("gradients", *SMALL, "--histogram", "")


def test_each_experiment_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert leakysm("gradients", *SMALL).code == 0
    folders = sorted(tmp_path.glob("runs/*-gradients*"))
    assert len(folders) == 2
    assert all((folder / "gradients.csv").exists() for folder in folders)


def test_embeddings_beyond_all_bounds_are_told_in_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", np.random.default_rng(0).standard_normal((5, 6, 8)).astype("float32") * 1e30)
    assert "are not finite; scale the embeddings down" in refused(
        "gradients", "--suggest", "--embeddings", tmp_path / "z.npy", code=1
    )
