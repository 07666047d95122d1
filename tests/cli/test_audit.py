"""`leakysm audit`: what agrees passes, and what was altered is named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from leakysm.errors import UserError
from leakysm.experiments import finished
from leakysm.runs import Checkpoint, RunFolder, folder, load_checkpoint

Leakysm = Callable[..., Result]
RESULTS = Path(__file__).resolve().parents[2] / "docs/results"


def test_a_whole_run_is_the_same_to_the_bit(leakysm: Leakysm, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last checkpoint, which may be large, is read once."""
    read: list[str] = []

    def load(path: Path) -> Checkpoint:
        read.append(path.name)
        return load_checkpoint(path)

    for module in (folder, finished):
        monkeypatch.setattr(module, "load_checkpoint", load)
    result = leakysm("audit", str(run))
    assert read.count("checkpoint-last.h5") == 1
    assert result.exit_code == 0, result.output
    assert "digests: 6 of the 6 files" in result.stdout
    assert "the first 6 episodes trained again: the same to the bit" in result.stdout
    assert result.stdout.endswith("everything that was checked agrees\n")


def test_what_a_program_reads(leakysm: Leakysm, run: Path) -> None:
    (run / "checkpoint-last.h5").unlink()
    found = json.loads(leakysm("audit", str(run), "--episodes", "3", "--json").stdout)
    assert (found["missing"], found["failures"]) == (["checkpoint-last.h5"], [])
    assert (found["again"]["episodes"], found["again"]["verdict"]) == (3, "same")


def altered(name: str, old: str, new: str) -> Callable[[Path], object]:
    def alter(run: Path) -> None:
        text = (run / name).read_text()
        assert re.search(old, text)
        (run / name).write_text(re.sub(old, new, text, count=1))

    return alter


def without(*names: str) -> Callable[[Path], object]:
    return lambda run: [(run / name).unlink() for name in names]


UNSIGNED = without("manifest.json")
ROWS_ALONE = without("manifest.json", "checkpoint-last.h5", "checkpoint-best.h5", "summary.json", "test-episodes.h5")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([altered("summary.json", '"seed": 0', '"seed": 1')], "summary.json was altered: its SHA-256 is"),
        ([UNSIGNED, altered("summary.json", '"seed": 0', '"seed": 1')], "seed is 1, its other files say 0"),
        ([UNSIGNED, altered("summary.json", '"threshold": 1.0', '"threshold": 2.0')], "distance is "),
        ([UNSIGNED, altered("summary.json", '_episode": [0-9]', '_episode": 1')], "checkpoint_episode is 1"),
        ([UNSIGNED, altered("metrics.csv", "\n2,", "\n2,1")], "does not begin with the rows that checkpoint-"),
        (
            [UNSIGNED, altered("config.toml", "0.001", "0.002")],
            "checkpoint-last.h5 belongs to another run than config.toml",
        ),
        ([altered("manifest.json", "{", "[")], "manifest.json is damaged"),
        ([ROWS_ALONE, altered("metrics.csv", "\n4,", "\n5,")], "does not have one row for each of 6 episodes"),
        ([ROWS_ALONE, altered("metrics.csv", r"\n2,(\d)", r"\n2,1\1")], "they differ from episode 2 on: loss is"),
        ([ROWS_ALONE, altered("metrics.csv", r"(\n3,[^,]*),", r"\1,0.0123,")], "metrics.csv"),
        ([ROWS_ALONE, altered("config.toml", "0.001", "0.0011")], "they differ from episode 2 on: "),
        ([ROWS_ALONE, altered("config.toml", "seed = 0", "seed = 1")], "they differ from episode 1 on: loss is"),
    ],
)
def test_what_was_altered_is_named(
    changes: list[Callable[[Path], object]], told: str, leakysm: Leakysm, run: Path
) -> None:
    for change in changes:
        change(run)
    result = leakysm("audit", str(run), "--episodes", "4")
    assert result.exit_code == 1, result.output
    assert any(told in line for line in result.stdout.splitlines() if line.startswith("failed: ")), result.stdout
    assert re.search(r"run: [0-9]+ failed\n$", result.stdout)


def test_other_last_digits_are_within_rounding(leakysm: Leakysm, run: Path) -> None:
    ROWS_ALONE(run)
    header, *rows = (run / "metrics.csv").read_text().splitlines()
    fields = [row.split(",") for row in rows]
    changed = [[episode, f"{float(loss) * (1 + 3e-7):.9g}", *others] for episode, loss, *others in fields]
    (run / "metrics.csv").write_text("\n".join([header, *map(",".join, changed)]) + "\n")
    result = leakysm("audit", str(run))
    assert result.exit_code == 0, result.output
    assert "within float32 rounding (other BLAS kernels)" in result.stdout


def test_published_results_agree(leakysm: Leakysm) -> None:
    """Their files alone. One of each experiment."""
    runs = [
        next(path.parent for path in sorted(one.glob("**/config.toml")))
        for one in RESULTS.iterdir()
        if one.is_dir() and [*one.glob("**/summary.json")]
    ]
    assert len(runs) >= 4
    for run in runs:
        result = leakysm("audit", str(run), "--episodes", "0")
        assert result.exit_code == 0, result.output
        assert "everything that was checked agrees" in result.stdout


def test_a_published_run_is_trained_again(
    leakysm: Leakysm, omniglot_path: Path, omniglot_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKYSM_CACHE", str(omniglot_cache))
    run = next((RESULTS / "omniglot-formulas").glob("root*seed=0*"))
    result = leakysm("audit", str(run), "--data", str(omniglot_path), "--episodes", "1")
    assert result.exit_code == 0, result.output
    assert "trained again: the same to the bit" in result.stdout or "within float32 rounding" in result.stdout


def test_a_run_of_a_gpu_is_trained_again_on_a_cpu(leakysm: Leakysm, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_gpu(config: object) -> None:
        raise UserError("no GPU")

    monkeypatch.setattr("leakysm.experiments.audit.engine_of", no_gpu)
    assert leakysm("audit", str(run), "--device", "cpu").exit_code == 0
    assert "no GPU" in leakysm("audit", str(run)).stderr


def test_a_place_in_the_home_folder_needs_no_shell(leakysm: Leakysm, run: Path, pictures: Path, tmp_path: Path) -> None:
    """Bash leaves `--data=~/x` as it is."""
    (tmp_path / "moved").symlink_to(pictures)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path))
        patch.setenv("USERPROFILE", str(tmp_path))
        assert leakysm("audit", str(run), "--data=~/moved", "--episodes", "1").exit_code == 0
        assert RunFolder("~/run").path == run


def test_other_data_are_refused(fails: Callable[..., str], run: Path, pictures: Path) -> None:
    assert "; give the same data with --data" in fails("audit", str(run), "--data", str(pictures / "train"))
    assert "no such file or folder" in fails("audit", str(run), "--data", "nowhere")
    assert "nowhere does not exist" in fails("audit", "nowhere")
