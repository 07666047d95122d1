"""`leakysm train`: a run from the command line, and one line for everything that it cannot do."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from leakysm_cli.folders import new_folder
from typer.testing import Result

from leakysm.runs import load_checkpoint, under_options

Leakysm = Callable[..., Result]
Fails = Callable[..., str]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_last_two_lines_name_the_folder_and_the_accuracy(leakysm: Leakysm, tiny: list[str], tmp_path: Path) -> None:
    result = leakysm("train", *tiny, "--test-way", "3", "--out", "run")
    assert result.exit_code == 0
    assert result.stderr == ""  # no progress where there is no terminal
    *_, folder, last = result.stdout.splitlines()
    assert folder == result.stdout.splitlines()[0] == "run folder: run"  # at the start, too
    tests = json.loads((tmp_path / "run" / "summary.json").read_text())["tests"]
    assert [t["way"] for t in tests] == [2, 3]
    found = re.fullmatch(r"(\d)-way 1-shot, 10 test episodes: accuracy (\S+) % \+- (\S+) %", last)
    assert found
    assert found.groups() == (str(tests[0]["way"]), f"{tests[0]['accuracy']:.2f}", f"{tests[0]['interval']:.2f}")
    rows = [re.split("  +", line) for line in result.stdout.splitlines() if re.match(r"\d-way", line)][:2]
    chance = {2: "50.00 %", 3: "33.33 %"}
    assert rows == [
        [f"{t['way']}-way 1-shot", f"{t['accuracy']:.2f} %", f"+- {t['interval']:.2f} %", chance[t["way"]], "10"]
        for t in tests
    ]
    assert "next: leakysm predict run --support FOLDER IMAGE..." in result.stdout


def test_by_default_the_folder_is_named_after_time_and_data(leakysm: Leakysm, tiny: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        assert leakysm("train", *tiny).exit_code == 0
    folders = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert len(folders) == 2
    assert all(re.fullmatch(r"\d{8}-\d{6}-folder(-1)?", name) for name in folders)


def test_explicit_options_win_over_the_file(leakysm: Leakysm, tiny: list[str], tmp_path: Path) -> None:
    Path("settings.toml").write_text('slope = 0.5\nthreshold = 2\nway = 2\ntest_way = [3]\noptimizer = "sgd"\n')
    result = leakysm("train", *tiny, "--config", "settings.toml", "--slope", "0.25", "--out", "run")
    assert result.exit_code == 0, result.output
    config = (tmp_path / "run" / "config.toml").read_text().splitlines()
    assert {"slope = 0.25", "threshold = 2.0", "way = 3", "test_way = [2]", 'optimizer = "sgd"'} <= set(config)


def test_the_configuration_of_a_run_makes_the_same_run(leakysm: Leakysm, run: Path, tmp_path: Path) -> None:
    assert leakysm("train", "--config", "run/config.toml", "--out", "again").exit_code == 0
    for name in ("config.toml", "metrics.csv", "checkpoint-last.h5", "summary.json"):
        assert (tmp_path / "again" / name).read_bytes() == (run / name).read_bytes()


def test_a_folder_that_holds_a_run_is_left_alone(fails: Fails, tiny: list[str], run: Path) -> None:
    before = contents(run)
    assert "run already holds a run (config.toml)" in fails("train", *tiny, "--out", "run")
    assert contents(run) == before


@pytest.mark.parametrize("resume", [[], ["--resume"]])
@pytest.mark.parametrize("there", ["comparison.json", "pictures"])
def test_a_folder_that_holds_something_else_is_left_alone(
    fails: Fails, tiny: list[str], tmp_path: Path, there: str, resume: list[str]
) -> None:
    """A comparison has a curves.png as a run does."""
    (tmp_path / "mine" / there).mkdir(parents=True)
    for _ in range(2):
        line = fails("train", *tiny, "--out", "mine", *resume)
        assert line == f"mine is not empty and holds no run (there is {there}); choose another --out"
        (tmp_path / "mine" / "curves.png").touch()
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {there, "curves.png"}


def test_resume_repeats_the_command_or_less_of_it(leakysm: Leakysm, tiny: list[str], run: Path) -> None:
    before = contents(run)
    for arguments in (tiny, []):
        result = leakysm("train", *arguments, "--out", "run", "--resume")
        assert result.exit_code == 0, result.output
        assert contents(run) == before


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["--way", "2"], "way"),
        (["--slope", "0.2"], "slope"),
        (["--test-way", "3"], "test_way"),
        (["--seed", "1"], "seed"),
    ],
)
def test_resume_with_another_setting_names_it(
    fails: Fails, tiny: list[str], run: Path, arguments: list[str], key: str
) -> None:
    before = contents(run)
    assert re.search(
        rf"run: {key} is .* in the run to resume", fails("train", *tiny, *arguments, "--out", "run", "--resume")
    )
    assert contents(run) == before


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b[:2000] + bytes([b[2000] ^ 4]) + b[2001:]])
def test_resume_from_a_damaged_checkpoint_is_refused(
    fails: Fails, tiny: list[str], run: Path, damage: Callable[[bytes], bytes]
) -> None:
    last = run / "checkpoint-last.h5"
    last.write_bytes(damage(last.read_bytes()))
    before = contents(run)
    assert "checkpoint-last.h5 is damaged" in fails("train", *tiny, "--out", "run", "--resume")
    assert contents(run) == before


def test_resume_without_an_unfinished_run_is_refused(leakysm: Leakysm, fails: Fails, tiny: list[str]) -> None:
    told = "--resume is given without --out, and runs holds no unfinished run with these settings"
    assert told in fails("train", *tiny, "--resume")
    assert leakysm("train", *tiny).exit_code == 0  # a finished one does not count
    assert told in fails("train", *tiny, "--resume")


def test_the_command_with_resume_goes_on_with_the_newest_unfinished_run_like_it(
    leakysm: Leakysm, fails: Fails, tiny: list[str], finished: Path, tmp_path: Path
) -> None:
    for number, name in enumerate(("old", "like", "unlike", "finished", "damaged")):
        folder = shutil.copytree(finished, tmp_path / "runs" / name)
        os.utime(folder / "config.toml", (number, number))
        if name != "finished":
            (folder / "summary.json").unlink()
    (tmp_path / "runs" / "damaged" / "config.toml").write_text("way =")
    unlike = tmp_path / "runs" / "unlike" / "config.toml"
    unlike.write_text(unlike.read_text().replace("seed = 0", "seed = 1"))
    os.utime(unlike, (9, 9))
    result = leakysm("train", *tiny, "--seed", "0", "--resume")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "run folder: runs/like"
    assert (tmp_path / "runs" / "like" / "summary.json").exists()
    assert not (tmp_path / "runs" / "old" / "summary.json").exists()
    assert leakysm("train", *tiny, "--seed", "0", "--resume").stdout.splitlines()[0] == "run folder: runs/old"


def test_resume_looks_at_what_is_given_alone(leakysm: Leakysm, fails: Fails, run: Path, pictures: Path) -> None:
    assert leakysm("train", "--out", "run", "--resume", "--test-way", "2").exit_code == 0
    told = fails("train", "--out", "run", "--resume", "--split", "lake")
    assert "the run to resume has no split, but 'lake' is given" in told  # and not: strokes has no splits
    config = run / "config.toml"
    assert "threads" not in config.read_text()
    before = contents(run)
    moved = shutil.copytree(pictures, Path("moved"))
    result = leakysm("train", "--out", "run", "--resume", "--threads", "1", "--data", str(moved))
    assert result.exit_code == 0, result.output
    assert {**contents(run), "environment.json": b""} == {**before, "environment.json": b""}
    (moved / "train" / "train0" / "0.png").unlink()
    assert "trained on data with checksum" in fails("train", "--out", "run", "--resume", "--data", "moved")


def test_a_checkpoint_of_another_run_ends_in_a_line(leakysm: Leakysm, fails: Fails, tiny: list[str], run: Path) -> None:
    assert leakysm("train", *tiny, "--seed", "1", "--out", "other").exit_code == 0
    shutil.copy("other/checkpoint-best.h5", "run")
    before = contents(run)
    assert "checkpoint-best.h5 belongs to another run" in fails("train", *tiny, "--out", "run", "--resume")
    assert contents(run) == before


def test_a_distance_of_its_own_drops_the_parameters_of_the_file(leakysm: Leakysm, run: Path, tmp_path: Path) -> None:
    result = leakysm("train", "--config", "run/config.toml", "--distance", "euclidean", "--out", "again")
    assert result.exit_code == 0, result.output
    config = tomllib.loads((tmp_path / "again" / "config.toml").read_text())
    assert config["distance"] == "euclidean"
    assert {"threshold", "slope", "per"}.isdisjoint(config)


@pytest.mark.parametrize(
    ("file", "options", "expected"),
    [
        (
            {"dataset": "omniglot", "split": "lake", "data": "x"},
            {"dataset": "strokes"},
            {"dataset": "strokes"},
        ),
        ({"dataset": "omniglot", "split": "lake"}, {"dataset": "omniglot"}, {"dataset": "omniglot", "split": "lake"}),
        ({"slope": 0.2}, {"distance": "leaky"}, {"slope": 0.2, "distance": "leaky"}),
        ({"slope": 0.2}, {"distance": "cosine", "slope": 0.5}, {"distance": "cosine", "slope": 0.5}),
        ({"backend": "numpy", "device": "cpu"}, {"device": "cuda"}, {"device": "cuda"}),
        ({"backend": "numpy", "device": "cpu"}, {"backend": "cupy"}, {"backend": "cupy"}),
        ({"backend": "reference", "device": "cpu"}, {"device": "cpu"}, {"backend": "reference", "device": "cpu"}),
    ],
)
def test_what_belongs_to_a_choice_of_the_file_goes_with_it(
    file: dict[str, object], options: dict[str, object], expected: dict[str, object]
) -> None:
    assert under_options(file, options) == expected


def test_two_runs_of_the_same_second_have_folders_of_their_own(elsewhere: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: new_folder("strokes"), range(40)))
    assert len(set(folders)) == 40
    assert all(folder.is_dir() for folder in folders)


def test_a_run_that_cannot_begin_leaves_no_folder_of_its_own(fails: Fails, tiny: list[str], tmp_path: Path) -> None:
    from PIL import Image

    fails("train", *tiny, "--way", "5")
    for file in shutil.copytree(tiny[3], Path("small")).glob("*/*/*.png"):
        Image.open(file).resize((8, 8)).save(file)
    assert "images of folder are 8x8" in fails("train", *tiny, "--data", "small")
    assert not (tmp_path / "runs").exists()


def test_training_by_default_takes_less_than_a_gigabyte(python: Callable[..., CompletedProcess[str]]) -> None:
    """By VmHWM, the process's own peak: getrusage's ru_maxrss starts at the size of the process that began it."""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc, which tells a process's own peak of memory")
    code = (
        "import atexit; from pathlib import Path; from leakysm_cli.main import main\n"
        "atexit.register(lambda: print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0]))\n"
        "main()"
    )
    done = python(code, "train", "--episodes", "3", "--test-episodes", "20", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert 50e6 < 1024 * int(done.stdout.splitlines()[-1]) < 1e9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--way", "5"], "way is 5, but the train split has 4 classes; give a way of 4 or less"),
        (["--test-way", "5"], "test_way is 5, but the test split has 4 classes"),
        (["--shot", "3", "--query", "2"], "shot + query is 3 + 2 = 5, but class 'train0' of the train split has 4"),
        (["--test-shot", "3"], "test_shot + test_query is 3 + 2 = 5, but class 'test0' of the test split has 4"),
        (["--way", "1"], "way is 1: give 2 or more"),
        (["--episodes", "0"], "episodes is 0: give 1 or more"),
        (["--slope", "0"], "slope is 0.0: expected 0 < slope <= 1"),
        (["--slope", "1.01"], "slope is 1.01: expected 0 < slope <= 1"),
        (["--threshold", "-1"], "threshold is -1.0: expected 0 <= threshold <= inf"),
        (["--threshold", "nan"], "threshold is nan: expected 0 <= threshold <= inf"),
        (["--distance", "cosine", "--slope", "0.5"], "slope is given, but the distance is cosine"),
        (["--learning-rate", "-1"], "learning_rate is -1.0: expected 0 < learning_rate < inf"),
        (["--learning-rate", "nan"], "learning_rate is nan: expected 0 < learning_rate < inf"),
        (["--backend", "numpy", "--device", "cuda"], "backend numpy does not run on device cuda:0"),
        (["--device", "gpu"], "device is 'gpu'; did you mean 'cuda'?"),
        (["--device", "cuda:x"], "device is 'cuda:x'; did you mean 'cuda:0'?"),
        (["--test-way", "2"], "test_way is [2, 2]: 2 is given twice"),
        (["--split", "lake"], "split is given, but folder has no choice of splits"),
        (["--blocks", "5"], "too small for the net; Conv4 with 5 blocks needs 32x32 or more: give 4 blocks, or use"),
        (["--data", "nowhere"], "nowhere: no such file or folder"),
        (["--config", "nowhere.toml"], "nowhere.toml does not exist"),
    ],
)
def test_what_cannot_be_is_told_and_leaves_no_folder(
    fails: Fails, tiny: list[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    assert message in fails("train", *tiny, *arguments, "--out", "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_key_is_named_with_the_nearest(fails: Fails, tiny: list[str]) -> None:
    Path("settings.toml").write_text("tresholt = 1\n")
    told = fails("train", *tiny, "--config", "settings.toml")
    assert "settings.toml: unknown setting 'tresholt'; did you mean 'threshold'?" in told


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed here")
def test_without_cupy_the_extra_is_named(fails: Fails, tiny: list[str]) -> None:
    told = fails("train", *tiny, "--device", "cuda")
    assert "[cuda13]" in told
    assert "[cuda12]" in told


def test_training_that_goes_wrong_says_at_which_episode(fails: Fails, tiny: list[str], tmp_path: Path) -> None:
    told = fails("train", *tiny, "--out", "run", "--learning-rate", "1e38", "--optimizer", "sgd", code=1)
    assert re.match(r"(the (loss|gradient) is nan at|block1\.variance is not finite after) episode \d", told)
    assert "training stopped" in told
    assert told.endswith("the last good checkpoint is kept in run/checkpoint-last.h5")
    assert load_checkpoint(tmp_path / "run" / "checkpoint-last.h5").episode == 0
    assert not (tmp_path / "run" / "summary.json").exists()


def test_weights_that_are_not_finite_never_reach_a_checkpoint(fails: Fails, tiny: list[str], tmp_path: Path) -> None:
    wild = ["--learning-rate", "1e39", "--optimizer", "sgd", "--checkpoint-every", "1"]  # beyond float32
    told = fails("train", *tiny, *wild, "--out", "run", code=1)
    assert re.match(r"block\d\.\w+ is not finite after episode 1; training stopped", told)
    last = load_checkpoint(tmp_path / "run" / "checkpoint-last.h5")
    assert last.episode == 0
    assert all(np.isfinite(array).all() for array in last.net.values())


def test_on_a_terminal_progress_is_shown(leakysm: Leakysm, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    monkeypatch.setenv("COLUMNS", "140")
    result = leakysm("train", *tiny, "--out", "run")
    assert result.exit_code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", result.stderr)
    for pattern in (
        r"training .* 6/6 .*/s .*loss \d+\.\d+  accuracy \d+\.\d %",
        r"validating .* 10/10",
        r"testing .* 10/10",
    ):
        assert re.search(pattern, plain), plain


def test_an_interrupted_run_says_how_to_go_on(
    leakysm: Leakysm, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("leakysm.runs.run.draw_curves", interrupted)
        result = leakysm("train", *tiny, "--out", "run")
    assert result.exit_code == 130
    assert result.stderr == "Stopped at episode 6. Continue: leakysm train --out run --resume\n"
    assert leakysm("train", *tiny, "--out", "run", "--resume").exit_code == 0


def test_in_a_pipe_a_line_is_written_now_and_then(
    leakysm: Leakysm, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leakysm_cli.progress.PERIOD", 0.0)
    lines = leakysm("train", *tiny, "--out", "run").stderr.splitlines()
    for pattern in (
        r"reading images: 48 of 48.*",
        r"training: 6 of 6, .*/s, .* left, loss \d\.\d+  accuracy \d+\.\d %",
        r"validating: 10 of 10.*",
        r"embedding: 16 of 16.*",
        r"testing: 10 of 10.*",
    ):
        assert any(re.fullmatch(pattern, line) for line in lines), pattern
    lines = leakysm("evaluate", "run").stderr.splitlines()
    assert {line.partition(":")[0] for line in lines} == {"embedding", "testing"}


def test_work_that_begins_again_takes_the_row_that_it_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from leakysm_cli.progress import shown_count

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("TTY_INTERACTIVE", "0")  # rich then shows the rows once, at the end
    with shown_count("validating") as report:
        for done in (1, 2, 1, 2, 1):
            report(done, 2)
    (row,) = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err).strip().splitlines()
    assert re.match("validating .* 1/2", row)


def test_defaults_that_the_data_are_too_few_for_are_told(pictures: Path, leakysm: Leakysm) -> None:
    words = ["train", "--dataset", "folder", "--data", str(pictures), "--episodes", "1", "--test-episodes", "2"]
    told = leakysm(*words).stdout
    assert (
        "lowered to what the classes allow: way 20 to 4, query 5 to 3, test way 5 and 20 to 4, test query 15 to 3"
        in told
    )
    given = ["--way", "4", "--query", "3", "--test-way", "4", "--test-query", "3"]
    assert "lowered" not in leakysm(*words, *given).stdout
