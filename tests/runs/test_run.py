"""A whole run on a tiny data set: its folder, its validation, its refusals."""

from __future__ import annotations

import csv
import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import leakysm as lk
from leakysm.data import Dataset
from leakysm.data.inputs import InputFormat
from leakysm.errors import CheckFailed, UserError
from leakysm.runs import Progress, RunFolder, Stopped, TrainConfig, load_checkpoint, restore, train
from leakysm.runs.checkpoint import save_checkpoint
from leakysm.runs.folder import FILES
from leakysm.runs.results import read_summary
from leakysm.training import Trainer

Make = Callable[..., TrainConfig]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def finished(data: Dataset, config: Make, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run from beginning to end."""
    out = tmp_path_factory.mktemp("runs") / "deep" / "run"
    train(config(), data=data, out=out)
    return RunFolder(out)


def test_the_folder_holds_every_file_and_no_litter(finished: RunFolder) -> None:
    assert set(contents(finished.path)) == set(FILES.values()) - {"formula.py"}
    assert finished.stored_config() is not None
    environment = json.loads(finished.environment.read_text())
    assert environment["packages"]["numpy"] == np.__version__
    with Image.open(finished.curves) as picture:
        assert min(picture.size) > 400


def test_every_step_has_a_row_and_validation_stands_where_it_was_due(finished: RunFolder) -> None:
    rows = list(csv.DictReader(finished.metrics.read_text().splitlines()))
    assert [row["episode"] for row in rows] == ["1", "2", "3", "4"]
    assert [bool(row["validation_accuracy"]) for row in rows] == [False, True, False, True]
    assert all(0 <= float(row["vanished_distance_gradients"]) <= 1 for row in rows)
    assert [line.split(",")[0] for line in finished.timing.read_text().splitlines()] == ["episode", "1", "2", "3", "4"]


def test_the_summary_has_both_tests_and_their_episodes_are_kept(finished: RunFolder) -> None:
    summary = json.loads(finished.summary.read_text())
    assert [(t["way"], t["shot"], t["episodes"]) for t in summary["tests"]] == [(2, 1, 20), (3, 1, 20)]
    with h5py.File(finished.test_episodes, "r") as file:
        for test in summary["tests"]:
            per_episode = file[f"{test['way']}-way {test['shot']}-shot"][...]
            assert per_episode.shape == (20,)
            assert abs(test["accuracy"] - 100 * per_episode.mean()) <= 100 * 20 * np.finfo(float).eps
            error = 196 * per_episode.std(ddof=1) / np.sqrt(20)
            assert abs(test["interval"] - error) <= 100 * 20 * np.finfo(float).eps


def test_the_best_validation_is_tested(finished: RunFolder) -> None:
    rows = list(csv.DictReader(finished.metrics.read_text().splitlines()))
    validated = {int(r["episode"]): float(r["validation_accuracy"]) for r in rows if r["validation_accuracy"]}
    assert all(0 <= accuracy <= 1 for accuracy in validated.values())
    best = max(validated, key=lambda episode: (validated[episode], -episode))  # the first of equals
    summary = json.loads(finished.summary.read_text())
    assert (summary["checkpoint"], summary["checkpoint_episode"]) == ("checkpoint-best.h5", best)
    assert f"{summary['validation_accuracy'] / 100:.9g}" == f"{validated[best]:.9g}"
    assert load_checkpoint(finished.best).episode == best
    assert load_checkpoint(finished.last).episode == 4


def test_the_same_run_again_gives_the_same_bits(
    finished: RunFolder, data: Dataset, config: Make, tmp_path: Path
) -> None:
    train(config(), data=data, out=tmp_path)
    same, other = contents(finished.path), contents(tmp_path)
    differing = {name for name in same if same[name] != other[name]}
    assert differing == {"timing.csv"}


def test_without_validation_the_last_is_the_best(
    config: Make, make_data: Callable[..., Dataset], tmp_path: Path
) -> None:
    train(config(episodes=3), data=make_data(splits=("train", "test")), out=tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["checkpoint_episode"], summary["validation_accuracy"]) == (3, None)
    assert (tmp_path / "checkpoint-best.h5").read_bytes() == (tmp_path / "checkpoint-last.h5").read_bytes()


def test_statistics_of_the_episode_are_recorded(data: Dataset, config: Make, tmp_path: Path) -> None:
    summary = train(config(episodes=1, norm="episode", test_episodes=2), data=data, out=tmp_path)
    assert {tested.norm for tested in summary.tests} == {"episode"}


def test_progress_is_told(data: Dataset, config: Make, tmp_path: Path) -> None:
    told: list[Progress] = []
    train(config(), data=data, out=tmp_path, report=told.append)
    training = [p for p in told if p.phase == "train"]
    assert [(p.done, p.total) for p in training] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    shown = [p.accuracy for p in training if p.accuracy is not None and p.loss is not None]
    assert len(shown) == 4
    assert all(0 <= accuracy <= 100 for accuracy in shown)
    assert sum(p.phase == "validate" for p in told) == sum(p.phase == "test" for p in told) == 40


def test_the_net_comes_back(finished: RunFolder, data: Dataset) -> None:
    restored = restore(finished.path, lk.backend("numpy"))
    saved = load_checkpoint(finished.best)
    assert restored.config == finished.stored_config()
    assert all(array.tobytes() == saved.net[name].tobytes() for name, array in restored.net.state().items())
    inputs = restored.checkpoint.inputs
    assert (inputs.image_shape, inputs.mean.tolist(), inputs.ink) == ((16, 16, 1), [0], False)


def test_a_folder_with_a_run_is_left_alone(finished: RunFolder, data: Dataset, config: Make) -> None:
    before = contents(finished.path)
    with pytest.raises(
        UserError, match=r"already holds a run \(config.toml\); choose another --out, or continue it with"
    ):
        train(config(), data=data, out=finished.path)
    assert contents(finished.path) == before


@pytest.mark.parametrize("changed", [{"slope": 0.2}, {"seed": 6}, {"test_way": (2,)}])
def test_another_configuration_is_not_resumed(
    finished: RunFolder, data: Dataset, config: Make, changed: dict[str, object]
) -> None:
    before = contents(finished.path)
    with pytest.raises(UserError, match=f"{next(iter(changed))} is .* in the run to resume"):
        train(config(**changed), data=data, out=finished.path, resume=True)
    assert contents(finished.path) == before


def test_other_data_are_not_resumed_on(finished: RunFolder, config: Make, make_data: Callable[..., Dataset]) -> None:
    before = contents(finished.path)
    with pytest.raises(UserError, match="trained on data with checksum"):
        train(config(), data=make_data(seed=1), out=finished.path, resume=True)
    assert contents(finished.path) == before


def copied(run: RunFolder, to: Path) -> RunFolder:
    for name, content in contents(run.path).items():
        (to / name).write_bytes(content)
    return RunFolder(to)


@pytest.mark.parametrize("name", ["checkpoint-last.h5", "checkpoint-best.h5", "metrics.csv"])
@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:300] + bytes([b[300] ^ 1]) + b[301:]])
def test_a_damaged_file_is_not_resumed_from(
    finished: RunFolder, data: Dataset, config: Make, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    folder = copied(finished, tmp_path)
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    before = contents(tmp_path)
    with pytest.raises(UserError, match=f"{name} (is damaged|does not match the checkpoint)") as caught:
        train(config(), data=data, out=folder.path, resume=True)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.toml", "holds environment.json but no config.toml"),
        ("checkpoint-last.h5", "holds metrics.csv but no checkpoint-last.h5"),
        ("checkpoint-last.h5 metrics.csv", "holds summary.json but no checkpoint-last.h5"),
        ("metrics.csv", "metrics.csv does not match the checkpoint"),
    ],
)
def test_a_folder_with_a_file_missing_is_not_resumed(
    finished: RunFolder, data: Dataset, config: Make, tmp_path: Path, missing: str, message: str
) -> None:
    folder = copied(finished, tmp_path)
    for name in missing.split():
        (tmp_path / name).unlink()
    before = contents(tmp_path)
    with pytest.raises(UserError, match=message):
        train(config(), data=data, out=folder.path, resume=True)
    assert contents(tmp_path) == before


def test_a_finished_run_makes_a_damaged_result_again(
    finished: RunFolder, data: Dataset, config: Make, tmp_path: Path
) -> None:
    folder = copied(finished, tmp_path)
    before = contents(tmp_path)
    folder.test_episodes.write_bytes(b"")
    train(config(), data=data, out=folder.path, resume=True)
    after = contents(tmp_path)
    assert {name for name in before if after[name] != before[name]} <= {"environment.json"}


@pytest.fixture(scope="module")
def other(data: Dataset, config: Make, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The same run of another seed."""
    out = tmp_path_factory.mktemp("runs") / "other"
    train(config(seed=6), data=data, out=out)
    return RunFolder(out)


@pytest.mark.parametrize("name", ["checkpoint-best.h5", "checkpoint-last.h5"])
@pytest.mark.parametrize("resume", [True, False])
def test_a_checkpoint_of_another_run_is_never_this_runs(
    finished: RunFolder, other: RunFolder, data: Dataset, config: Make, tmp_path: Path, name: str, resume: bool
) -> None:
    folder = copied(finished, tmp_path)
    if not resume and name == "checkpoint-last.h5":
        folder.best.unlink()  # then the last is what is restored, of a run that is not finished
        folder.summary.unlink()
    (tmp_path / name).write_bytes((other.path / name).read_bytes())
    before = contents(tmp_path)
    with pytest.raises(UserError, match=f"{name} belongs to another run than config.toml"):
        _ = train(config(), data=data, out=tmp_path, resume=True) if resume else restore(tmp_path, lk.backend("numpy"))
    assert contents(tmp_path) == before


def test_a_best_checkpoint_of_another_moment_is_refused(
    finished: RunFolder, data: Dataset, config: Make, tmp_path: Path
) -> None:
    folder = copied(finished, tmp_path)
    best = load_checkpoint(folder.best)
    other = 6 - best.episode  # 2 for 4, 4 for 2
    optimizer = best.optimizer | {"steps": np.asarray(other)}
    save_checkpoint(folder.best, replace(best, episode=other, optimizer=optimizer))
    before = contents(tmp_path)
    with pytest.raises(UserError, match="but this run was best after"):
        train(config(), data=data, out=folder.path, resume=True)
    assert contents(tmp_path) == before


def test_an_altered_configuration_is_not_believed(finished: RunFolder, tmp_path: Path) -> None:
    folder = copied(finished, tmp_path)
    folder.config.write_text(folder.config.read_text().replace("slope = 0.1", "slope = 0.9"))
    with pytest.raises(UserError, match=r"belongs to another run than config\.toml"):
        restore(folder.path, lk.backend("numpy"))


def test_an_untrained_net_is_not_restored(data: Dataset, config: Make, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config(), data=data, out=tmp_path, report=stop)
    with pytest.raises(UserError, match=r"checkpoint-last\.h5 holds an untrained net; train it: .*--resume"):
        restore(tmp_path, lk.backend("numpy"))


def test_weights_from_elsewhere_are_restored_though_no_episode_was_trained(finished: RunFolder, tmp_path: Path) -> None:
    last = load_checkpoint(finished.last)
    (tmp_path / "config.toml").write_bytes(finished.config.read_bytes())
    save_checkpoint(tmp_path / "checkpoint-last.h5", replace(last, episode=0, optimizer={"steps": np.asarray(0)}))
    restored = restore(tmp_path, lk.backend("numpy"))
    assert (restored.path.name, restored.finished) == ("checkpoint-last.h5", False)


@pytest.mark.parametrize(
    ("phase", "reports", "steps"),
    [
        ("train", 0, 0),  # before the first step
        *(("train", steps, steps) for steps in range(1, 5)),
        ("embed", 1, 1),  # at the first report of the validation after step 2, which is taken back
        ("validate", 1, 1),
        ("validate", 20, 1),
        ("validate", 21, 3),
        ("test", 1, 4),
        ("test", 40, 4),
    ],
)
def test_a_run_that_was_asked_to_stop_ends_with_the_same_bits(
    finished: RunFolder, data: Dataset, config: Make, tmp_path: Path, phase: str, reports: int, steps: int
) -> None:
    """Asked once a phase has reported so often."""
    told: list[str] = []
    with pytest.raises(Stopped) as stopped:
        train(
            config(),
            data=data,
            out=tmp_path,
            report=lambda progress: told.append(progress.phase),
            stop=lambda: told.count(phase) >= reports,
        )
    assert stopped.value.episode == RunFolder(tmp_path).reached() == steps
    assert len((tmp_path / "metrics.csv").read_bytes().splitlines()) == 1 + steps
    train(config(), data=data, out=tmp_path, resume=True)
    kept = set(FILES.values()) - {"timing.csv", "environment.json"}
    assert {n: c for n, c in contents(tmp_path).items() if n in kept} == {
        n: c for n, c in contents(finished.path).items() if n in kept
    }


@pytest.mark.parametrize("changed", [{"threads": 2}, {"data": "/moved"}])
def test_what_changes_no_bit_may_change_on_resumption(
    finished: RunFolder, data: Dataset, config: Make, tmp_path: Path, changed: dict[str, object]
) -> None:
    def stop(progress: Progress) -> None:
        if progress.phase == "train" and progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config(), data=data, out=tmp_path, report=stop)
    train(config(**changed), data=data, out=tmp_path, resume=True)
    kept = set(FILES.values()) - {"timing.csv", "environment.json"}
    assert {n: c for n, c in contents(tmp_path).items() if n in kept} == {
        n: c for n, c in contents(finished.path).items() if n in kept
    }


def test_before_a_checkpoint_the_place_of_the_data_counts(data: Dataset, config: Make, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(config().to_toml())
    with pytest.raises(UserError, match="the run to resume has no data"):
        train(config(data="/moved"), data=data, out=tmp_path, resume=True)


def test_a_run_that_another_is_at_is_left_alone(data: Dataset, config: Make, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "config.toml").write_text(config().to_toml())
    with (tmp_path / "config.toml").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is training this run"):
            train(config(), data=data, out=tmp_path, resume=True)
    assert set(contents(tmp_path)) == {"config.toml"}


def test_on_a_file_system_without_locks_a_run_trains_all_the_same(
    finished: RunFolder, data: Dataset, config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without)
    train(config(), data=data, out=tmp_path)
    assert set(contents(tmp_path)) == set(FILES.values()) - {"formula.py"}
    assert (tmp_path / "metrics.csv").read_bytes() == finished.metrics.read_bytes()


def test_an_infinite_threshold_is_null_in_the_summary_and_older_summaries_are_read(
    data: Dataset, config: Make, tmp_path: Path
) -> None:
    train(config(distance="leaky", threshold=np.inf, slope=0.5), data=data, out=tmp_path)
    path = tmp_path / "summary.json"
    new = path.read_text()
    assert '"threshold": null' in new
    _, tests = read_summary(path)
    path.write_text(new.replace('"threshold": null', '"threshold": Infinity'))
    summary, older = read_summary(path)
    assert (summary["distance"]["threshold"], older) == (np.inf, tests)


def test_of_two_beginnings_one_wins(config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    monkeypatch.setattr(second, "refuse_a_run", lambda **_: first.begin(config(), resume=False))
    monkeypatch.setattr(second, "stored_config", lambda: None)  # looked a moment before
    with pytest.raises(UserError, match=r"already holds a run .*another process"):
        second.begin(config(seed=9), resume=False)
    assert first.stored_config() == config()
    assert set(contents(tmp_path)) == {"config.toml"}


def test_damaged_times_do_not_stop_a_resumption(
    finished: RunFolder, data: Dataset, config: Make, tmp_path: Path
) -> None:
    folder = copied(finished, tmp_path)
    folder.timing.write_bytes(b"episode,seconds\n1,0.5\nx\xff,0.1\n3,0.5\n")
    train(config(), data=data, out=folder.path, resume=True)
    assert folder.timing.read_bytes() == b"episode,seconds\n1,0.5\n"


def test_a_cut_configuration_is_named(finished: RunFolder, data: Dataset, config: Make, tmp_path: Path) -> None:
    folder = copied(finished, tmp_path)
    folder.config.write_text("\n".join(folder.config.read_text().splitlines()[:4]))
    with pytest.raises(UserError, match=r"config\.toml is not complete"):
        train(config(), data=data, out=folder.path, resume=True)


def test_resuming_a_finished_run_changes_nothing_but_times(
    finished: RunFolder, data: Dataset, config: Make, tmp_path: Path
) -> None:
    folder = copied(finished, tmp_path)
    train(config(), data=data, out=folder.path, resume=True)
    assert contents(tmp_path) == contents(finished.path)


def test_training_that_goes_wrong_stops_and_keeps_the_last_good_checkpoint(
    data: Dataset, config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Trainer.forward

    def poisoned(self: Trainer) -> object:
        if self.episode == 2:
            self.net.parameters["block1.weight"][0] = np.inf
        return real(self)

    monkeypatch.setattr(Trainer, "forward", poisoned)
    with pytest.raises(CheckFailed, match="the loss is nan at episode 3"):
        train(config(checkpoint_every=1), data=data, out=tmp_path)
    last = load_checkpoint(tmp_path / "checkpoint-last.h5")
    assert last.episode == 2
    assert all(np.isfinite(array).all() for array in last.net.values())
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 3
    assert not (tmp_path / "summary.json").exists()


def test_images_too_small_for_the_net_leave_no_folder(config: Make, data: Dataset, tmp_path: Path) -> None:
    splits = {k: replace(s, images=s.images[:, :8, :8].copy()) for k, s in data.splits.items()}
    small = replace(data, splits=splits, inputs=InputFormat.unscaled((8, 8, 1)))
    with pytest.raises(UserError, match="images of folder are 8x8"):
        train(config(), data=small, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_where_the_folder_should_be_is_named(config: Make, data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match=r"run: .*choose another --out"):
        train(config(), data=data, out=tmp_path / "run")
