"""`leakysm compare` as it is typed, on runs of two episodes."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from leakysm.experiments.student import holm
from leakysm.runs import load_checkpoint
from leakysm.runs.checkpoint import save_checkpoint
from leakysm.runs.results import SEAL
from leakysm.seal import sealed
from tests.experiments.command import leakysm, refused

SMALL = ("--way", 3, "--query", 1, "--episodes", 2, "--checkpoint-every", 1, "--device", "cpu", "--threads", 1)
SMALL += ("--test-way", 3, "--test-query", 2, "--test-episodes", 4, "--norm", "episode")
SETTINGS = ("--setting", "squared-euclidean", "--setting", "leaky,threshold=inf", "--setting", "euclidean")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compare") / "out"
    outcome = leakysm("compare", *SMALL, *SETTINGS, "--seeds", 3, "--out", out)
    assert outcome.code == 0
    *_, folder, files, report, verdict = outcome.out.splitlines()
    assert folder == str(out)
    assert files == "files: comparison.json, comparison.md, curves.png"
    assert report == f"next: leakysm report {out}"
    leaky = "leaky,threshold=inf,slope=0.03 +0.00 +- 0.00 (may be chance)"
    compared = "3-way 1-shot test, percentage points against squared-euclidean (95 %, 3 seeds): "
    assert verdict.startswith(f"{compared}{leaky}; euclidean ")
    assert outcome.err.splitlines()[-1] == "run 9 of 9: euclidean, seed 2"
    return out


def contents(folder: Path, pattern: str) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob(pattern))
    }


def test_the_same_weights_episodes_and_tests_within_a_seed(compared: Path) -> None:
    """Without a leak the leaky distance is squared Euclidean bit for bit: nothing else may differ between the runs."""
    table = json.loads((compared / "comparison.json").read_text())
    base, leaky, _ = table["tests"][0]["settings"]
    assert leaky["setting"] == "leaky,threshold=inf,slope=0.03"
    assert (leaky["difference"], leaky["difference_interval"], leaky["p_value"]) == (0, 0, 1)
    assert [seed["accuracy"] for seed in leaky["seeds"]] == [seed["accuracy"] for seed in base["seeds"]]
    squared = contents(compared / "squared-euclidean", "*/metrics.csv")
    assert contents(compared / "leaky-threshold=inf-slope=0.03", "*/metrics.csv") == squared
    assert contents(compared / "euclidean", "*/metrics.csv").keys() == squared.keys()
    assert not contents(compared / "euclidean", "*/metrics.csv").items() & squared.items()


def test_it_leaves_tables_and_curves(compared: Path) -> None:
    text = (compared / "comparison.md").read_text()
    assert text.startswith("# strokes, 3-way 1-shot training, 2 episodes\n")
    assert "3 training seeds: 0, 1, 2." in text
    assert "at the same seed, in percentage points" in text
    assert "p (Holm)" in text
    settings = json.loads((compared / "comparison.json").read_text())["tests"][0]["settings"][1:]
    assert [one["p_holm"] for one in settings] == holm([one["p_value"] for one in settings])
    assert (compared / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_resumed_it_keeps_what_is_finished_and_makes_the_rest_again(compared: Path) -> None:
    again = ("compare", *SMALL, *SETTINGS, "--seeds", 3, "--out", compared, "--resume", "--json")
    before = contents(compared, "**/*.h5")
    table = (compared / "comparison.json").read_text()
    assert leakysm(*again).out == table
    assert "run 1 of 9" not in leakysm(*again).err
    run = compared / "euclidean" / "seed-1"
    for name in ("summary.json", "checkpoint-best.h5", "checkpoint-last.h5", "metrics.csv"):
        (run / name).unlink()
    outcome = leakysm(*again)
    assert outcome.err.splitlines()[-1] == "run 6 of 9: euclidean, seed 1"
    assert outcome.out == table
    assert contents(compared, "**/*.h5") == before


def test_runs_are_compared_by_their_folders(compared: Path, tmp_path: Path) -> None:
    runs = [compared / name / f"seed-{seed}" for seed in range(3) for name in ("squared-euclidean", "euclidean")]
    found = json.loads(leakysm("compare", *runs, "--json").out)
    whole = json.loads((compared / "comparison.json").read_text())
    base, _, euclidean = whole["tests"][0]["settings"]
    assert found["tests"][0]["settings"] == [base, {k: v for k, v in euclidean.items() if k != "p_holm"}]
    outcome = leakysm("compare", *runs[:2], "--out", tmp_path / "new")
    assert "(seed 0; fewer than 3 seeds give no interval): euclidean " in outcome.out.splitlines()[-1]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["comparison.json", "comparison.md", "curves.png"]


def test_published_runs_are_compared_without_their_weights(compared: Path, tmp_path: Path) -> None:
    whole = [compared / name / "seed-0" for name in ("squared-euclidean", "euclidean")]
    published = [tmp_path / run.parent.name for run in whole]
    for run, copy in zip(whole, published, strict=True):
        copy.mkdir()
        for name in ("config.toml", "summary.json", "test-episodes.h5"):
            (copy / name).write_bytes((run / name).read_bytes())
    found, expected = (json.loads(leakysm("compare", *runs, "--json").out) for runs in (published, whole))
    for entry in (
        seed for result in (found, expected) for setting in result["tests"][0]["settings"] for seed in setting["seeds"]
    ):
        del entry["run"]
    assert found == expected
    outcome = leakysm("compare", *published, "--out", tmp_path / "out")
    assert outcome.code == 0
    assert outcome.err.splitlines() == [f"leakysm: no curves.png: {published[0]} holds no metrics.csv"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["comparison.json", "comparison.md"]
    summary = json.loads((published[0] / "summary.json").read_text())
    (published[0] / "summary.json").write_text(json.dumps({**summary, "data_digest": "0" * 64}))
    assert "were made on different data" in refused("compare", *published)
    del summary["data_digest"]
    (published[0] / "summary.json").write_text(json.dumps(summary))
    assert "checkpoint-last.h5" in refused("compare", *published)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accuracy", "90"),
        ("accuracy", None),
        ("interval", 101),
        ("query", [2]),
        ("way", 0),
        ("episodes", True),
        ("norm", 1),
        ("shot", 1.5),
    ],
)
def test_a_summary_of_other_kinds_of_values_is_told(compared: Path, tmp_path: Path, key: str, value: object) -> None:
    run = tmp_path / "run"
    shutil.copytree(compared / "euclidean" / "seed-0", run)
    summary = json.loads((run / "summary.json").read_text())
    summary["tests"][0][key] = value
    (run / "summary.json").write_text(json.dumps(summary))
    assert f"is damaged ({key} is {value!r})" in refused("compare", compared / "squared-euclidean" / "seed-0", run)


def _in_summary(run: Path, **values: object) -> None:
    summary = json.loads((run / "summary.json").read_text())
    summary["tests"][0] |= values
    (run / "summary.json").write_text(json.dumps(summary))


def _without_a_test(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    summary["tests"].pop()
    (run / "summary.json").write_text(json.dumps(summary))


def _reversed(run: Path) -> None:
    """Another order of the episodes, signed anew."""
    path = run / "test-episodes.h5"
    with h5py.File(path, "r+") as file:
        for name in file:
            file[name][...] = np.sort(file[name][()])[::-1]
    path.write_bytes(sealed(io.BytesIO(path.read_bytes()), SEAL))


def _other_metrics(run: Path) -> None:
    lines = (run / "metrics.csv").read_text().splitlines()
    (run / "metrics.csv").write_text("\n".join([*lines[:-1], lines[-1].replace(",", ",0", 1), ""]))


ALTERATIONS = {
    "interval": (lambda run: _in_summary(run, interval=0.0), "has interval"),
    "query": (lambda run: _in_summary(run, query=7), "has query 2, summary.json says 7"),
    "norm": (lambda run: _in_summary(run, norm="running"), "has norm episode, summary.json says running"),
    "no test": (_without_a_test, "holds no 3-way 1-shot test"),
    "metrics": (_other_metrics, "metrics.csv was altered: checkpoint-last.h5 states other rows"),
}


@pytest.mark.parametrize("manifest", [True, False])
@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_files_that_do_not_agree_are_told(compared: Path, tmp_path: Path, alteration: str, manifest: bool) -> None:
    run = tmp_path / "run"
    shutil.copytree(compared / "euclidean" / "seed-0", run)
    if not manifest:
        (run / "manifest.json").unlink()
    alter, words = ALTERATIONS[alteration]
    alter(run)
    line = refused("compare", compared / "squared-euclidean" / "seed-0", run, "--out", tmp_path / "out")
    assert words in line


def test_what_the_manifest_tells_alone_is_told(compared: Path, tmp_path: Path) -> None:
    """Another order of the episodes, on which a comparison in pairs depends, and another best checkpoint."""
    run, best = tmp_path / "run", "checkpoint-best.h5"
    shutil.copytree(compared / "euclidean" / "seed-0", run)
    _reversed(run)
    line = refused("compare", compared / "squared-euclidean" / "seed-0", run)
    assert "test-episodes.h5 was altered: its SHA-256 is" in line
    (run / best).write_bytes((compared / "euclidean" / "seed-0" / "checkpoint-last.h5").read_bytes())
    signed_anew = load_checkpoint(run / best)
    save_checkpoint(run / best, replace(signed_anew, best_accuracy=99.0))
    assert f"{best} was altered" in refused("evaluate", run)


def test_a_run_that_says_nothing_of_its_files_is_read(compared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(compared / "euclidean" / "seed-0", run)
    (run / "manifest.json").unlink()
    assert leakysm("compare", compared / "squared-euclidean" / "seed-0", run, "--out", tmp_path / "out").code == 0


@pytest.mark.parametrize("damage", [b"", b"episode,loss\n0,1\n", b"episode,loss\n0\n1,2,3\n", b"\xff\xfe"])
def test_damaged_metrics_are_told(compared: Path, tmp_path: Path, damage: bytes) -> None:
    run = tmp_path / "run"
    shutil.copytree(compared / "euclidean" / "seed-0", run)
    (run / "metrics.csv").write_bytes(damage)
    line = refused("compare", compared / "squared-euclidean" / "seed-0", run, "--out", tmp_path / "out")
    assert f"{run / 'metrics.csv'} " in line
    assert not (tmp_path / "out").exists()


def test_settings_that_come_to_the_same_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    twice = ("--setting", "leaky", "--setting", "leaky,learning_rate=0.001")
    assert "are the same run; leave one out" in refused("compare", *twice, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_comparison_is_not_written_into_a_run(run: Path) -> None:
    before = (run / "curves.png").read_bytes()
    assert "exists already; choose another --out" in refused("compare", run, "--out", run)
    assert "is the folder of a run; choose another --out" in refused("compare", *SMALL, "--out", run, "--resume")
    assert (run / "curves.png").read_bytes() == before


def test_a_comparison_goes_on_in_no_folder_of_something_else(tmp_path: Path) -> None:
    for there in ("sweep.json", "notes/draft.txt"):
        file = tmp_path / there.partition(".")[0] / there
        file.parent.mkdir(parents=True)
        file.touch()
        folder = tmp_path / there.partition(".")[0]
        assert "holds something else" in refused("compare", *SMALL, "--out", folder, "--resume")


def test_an_older_comparison_is_not_written_over(compared: Path) -> None:
    runs = [compared / name / "seed-0" for name in ("squared-euclidean", "euclidean")]
    before = (compared / "comparison.json").read_bytes()
    assert "exists already; choose another --out" in refused("compare", *runs, "--out", compared)
    assert (compared / "comparison.json").read_bytes() == before


def test_bad_use_is_one_line(compared: Path, tmp_path: Path) -> None:
    run = compared / "euclidean" / "seed-0"
    assert "exists already; choose another --out" in refused("compare", *SMALL, "--out", compared)
    assert "--resume is given without --out" in refused("compare", "--resume")
    assert "one setting is given" in refused("compare", "--setting", "leaky", "--out", tmp_path / "x")
    assert "way cannot differ between compared settings" in refused(
        "compare", "--setting", "leaky,way=3", "--out", tmp_path / "x"
    )
    assert "--way is for training" in refused("compare", run, run, "--way", 5)
    assert "--seeds is for training" in refused("compare", run, run, "--seeds", 3)
    assert "--resume is for training" in refused("compare", run, run, "--resume")
    assert "holds no run" in refused("compare", run, tmp_path)
    assert "are both euclidean, seed 0" in refused("compare", run, run)
    assert not (tmp_path / "x").exists()
    other = [3 if before == "--episodes" else word for before, word in zip((None, *SMALL), SMALL, strict=False)]
    outcome = leakysm("compare", *other, *SETTINGS, "--out", compared, "--resume")
    assert outcome.code == 2
    assert "episodes is 2 in the run to resume, but 3 is given" in outcome.err.splitlines()[-1]


def test_damaged_and_unfinished_runs_are_told(compared: Path, tmp_path: Path) -> None:
    good = compared / "squared-euclidean" / "seed-0"

    def spoilt(name: str, content: bytes | None) -> Path:
        run = tmp_path / name
        run.mkdir()
        for path in (compared / "euclidean" / "seed-0").iterdir():
            (run / path.name).write_bytes(path.read_bytes())
        (run / name).unlink()
        if content is not None:
            (run / name).write_bytes(content)
        return run

    assert "is not finished; go on with leakysm train --resume" in refused(
        "compare", good, spoilt("summary.json", None)
    )
    assert "test-episodes.h5: 3-way 1-shot cannot be read" in refused("compare", good, spoilt("test-episodes.h5", b"x"))
    assert "damaged, or not a checkpoint" in refused("compare", good, spoilt("checkpoint-best.h5", b"x"))


def test_accuracies_of_another_run_are_told(compared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(compared / "euclidean" / "seed-0", run)
    summary = json.loads((run / "summary.json").read_text())
    summary["tests"][0]["accuracy"] += 1
    (run / "summary.json").write_text(json.dumps(summary))
    assert "they are not of one run" in refused("compare", run, compared / "squared-euclidean" / "seed-0")
