"""`leakysm data`, through its Typer application."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from leakysm_cli.data import app
from PIL import Image
from typer.testing import CliRunner, Result

import leakysm.training.trainer as training
from leakysm.backends import backend
from leakysm.data import Dataset, load, sheet
from leakysm.data.fetch import ARCHIVES
from leakysm.episodes import Episode, sample
from leakysm.errors import UserError
from leakysm.runs.build import build_trainer
from leakysm.runs.resolve import resolve
from tests.data.conftest import noise, png, write_files
from tests.data.test_fetch import Server, server

__all__ = ["server"]


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_info_prints_the_splits() -> None:
    lines = [line.split() for line in run("info").output.splitlines()]
    assert ["train", "300", "6000", "20"] in lines
    assert ["checksum", load("strokes").digest] in lines


def test_info_as_json(zips: Path) -> None:
    found = json.loads(run("info", "--dataset", "omniglot", "--data", zips, "--json").output)
    assert found["digest"] == load("omniglot", zips).digest
    assert found["image_shape"] == [28, 28, 1]
    assert found["splits"]["test"] == {
        "classes": 12,
        "images": 36,
        "fewest_images_a_class": 3,
        "most_images_a_class": 3,
    }


def test_prepare_fills_the_cache_and_says_where(zips: Path, own_cache: Path) -> None:
    output = run("prepare", "--dataset", "omniglot", "--data", zips).output
    assert "omniglot: 96 images ready" in output
    assert str(own_cache) in output.replace("\n", "")
    assert len([*own_cache.iterdir()]) == 1


def _pictures(root: Path) -> None:
    for split, name in [("train", "a"), ("train", "b"), ("val", "c"), ("val", "d"), ("test", "e"), ("test", "f")]:
        (root / split / name).mkdir(parents=True)
        for i in range(2):
            pixels = np.full((16, 16), 10 * i + ord(name), np.uint8)
            Image.fromarray(pixels).save(root / split / name / f"{i}.bmp")


def _replace_unseen(root: Path) -> None:
    """Put another image of the same size and time in the place of one, as rsync -t or tar does."""
    file = root / "val" / "d" / "0.bmp"
    states = file.stat()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(root / "new.bmp")
    assert (root / "new.bmp").stat().st_size == states.st_size
    os.utime(root / "new.bmp", ns=(states.st_atime_ns, states.st_mtime_ns))
    (root / "new.bmp").replace(file)


def test_an_image_replaced_by_one_of_the_same_size_and_time_is_noticed(tmp_path: Path, own_cache: Path) -> None:
    _pictures(tmp_path / "data")
    before = load("folder", tmp_path / "data")
    _replace_unseen(tmp_path / "data")
    assert load("folder", tmp_path / "data").digest != before.digest


def test_prepare_with_check_says_what_changed(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakysm.data.folder_or_zip.FolderSource.checksum", lambda self: "never another")
    words = ("prepare", "--dataset", "folder", "--data", tmp_path / "data")
    _pictures(tmp_path / "data")
    for check in ((), ("--check",)):
        assert run(*words, *check).exit_code == 0
    _replace_unseen(tmp_path / "data")
    old = load("folder", tmp_path / "data").digest
    found = CliRunner().invoke(app, [str(word) for word in (*words, "--check")])
    assert (found.exit_code, "classes whose images had changed: 1 (val/d)" in found.output) == (1, True)
    assert load("folder", tmp_path / "data").digest != old
    assert "the cache agrees with the files" in run(*words, "--check").output


def test_show_draws_classes_and_an_episode(tmp_path: Path) -> None:
    output = run("show", "--part", "val", "--classes", "3", "--shot", "2", "--out", tmp_path).output
    for name in ("classes.png", "episode.png"):
        assert name in output
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 100


@pytest.mark.parametrize("kind", ["strokes", "folder"])
@pytest.mark.parametrize("seed", [0, 3])
def test_what_is_shown_of_a_seed_is_what_that_seed_trains_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, seed: int
) -> None:
    """Images, classes of each split, and the drawn episode, against the trainer's own."""
    folder = {
        f"{name}/{k}.png": png(noise(10 * number + k, 28, 28))
        for number, name in enumerate("abcdefghij")
        for k in range(4)
    }
    data = [] if kind == "strokes" else ["--data", write_files(tmp_path / "x", folder)]
    sheets: list[tuple[Dataset, Any, Any]] = []
    monkeypatch.setattr(sheet, "save", lambda *_: None)
    monkeypatch.setattr(sheet, "class_sheet", lambda *_, **__: None)
    monkeypatch.setattr(sheet, "episode_sheet", lambda shown, _, *drawn, **__: sheets.append((shown, *drawn)))
    episode = ["--part", "train", "--way", 3, "--shot", 1, "--query", 2, "--episode", 1]
    run("show", "--dataset", kind, *data, "--seed", seed, *episode, "--out", tmp_path)
    ((shown, support, query),) = sheets

    given = {"dataset": kind, "data": str(data[-1]) if data else None, "seed": seed, "device": "cpu"}
    config, trained = resolve({**given, "way": 3, "shot": 1, "query": 2, "test_way": (2,), "test_query": 2})
    assert shown.digest == trained.digest
    for split, one in trained.splits.items():
        assert shown.splits[split].names == one.names
        np.testing.assert_array_equal(shown.splits[split].images, one.images)
    episodes: list[Episode] = []
    monkeypatch.setattr(training, "sample", lambda *a, **k: episodes.append(sample(*a, **k)) or episodes[-1])
    trainer = build_trainer(config, trained, backend("numpy"))
    trainer.episode = 1
    trainer.forward()
    (drawn,) = episodes
    np.testing.assert_array_equal(support, drawn.support)
    np.testing.assert_array_equal(query, drawn.query)
    assert f"checksum  {trained.digest}" in run("info", "--dataset", kind, *data).output


def test_show_refuses_episodes_that_the_data_cannot_give(zips: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"shot \+ query is 1 \+ 5 = 6, but class 'Cyd/character01/rot000' of the"):
        run("show", "--dataset", "omniglot", "--data", zips, "--out", tmp_path)
    assert not (tmp_path / "classes.png").exists()


@pytest.mark.parametrize(
    ("option", "most", "words"),
    [
        ("classes", 75, "the val split has 75 classes"),
        ("samples", 20, "the largest class of the val split has 20 images"),
    ],
)
def test_show_refuses_more_than_there_is(tmp_path: Path, option: str, most: int, words: str) -> None:
    with pytest.raises(UserError, match=f"--{option} is {most + 1}, but {words}; give {most} or less"):
        run("show", "--part", "val", f"--{option}", most + 1, "--out", tmp_path)
    assert not list(tmp_path.iterdir())


def test_show_draws_nothing_among_the_data(tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "below"):
        with pytest.raises(UserError, match=r"among the data in .*; choose another folder"):
            run("show", "--dataset", "folder", "--data", tmp_path, "--out", out)


def test_show_replaces_no_other_picture(tmp_path: Path) -> None:
    for _ in range(2):  # drawing the same again changes nothing
        assert run("show", "--part", "val", "--out", tmp_path).exit_code == 0
    before = (tmp_path / "classes.png").read_bytes()
    with pytest.raises(UserError, match=r"classes\.png exists already and holds something else; give another name"):
        run("show", "--part", "val", "--classes", 3, "--out", tmp_path)
    assert (tmp_path / "classes.png").read_bytes() == before


def test_show_takes_episode_numbers_up_to_64_bits(tmp_path: Path) -> None:
    for option in ("--episode", "--seed"):
        assert run("show", option, 2**63 - 1, "--out", tmp_path / option).exit_code == 0
        beyond = CliRunner().invoke(app, ["show", option, str(2**63), "--out", str(tmp_path)])
        assert (beyond.exit_code, isinstance(beyond.exception, SystemExit)) == (2, True)


def test_fetch_puts_the_archives_where_omniglot_is_looked_for(
    server: Server, omniglot_path: Path, own_cache: Path
) -> None:
    for archive in ARCHIVES:
        server.files[f"base/{archive.name}"] = (omniglot_path / archive.name).read_bytes()
    output = run("fetch", "omniglot", "--mirror", server.address).output
    for archive in ARCHIVES:
        assert (own_cache / "omniglot" / archive.name).exists()
        assert archive.name in output
    assert [path for path, _ in server.requests] == [f"/base/{archive.name}" for archive in ARCHIVES]


def test_fetch_all_asks_for_the_rest_too(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"images_background\.zip: the server answers 404"):
        run("fetch", "omniglot", "--all", "--mirror", server.address, "--out", tmp_path)


def test_nothing_else_can_be_fetched() -> None:
    with pytest.raises(UserError, match="cannot fetch 'miniimagenet': only omniglot"):
        run("fetch", "miniimagenet")


@pytest.mark.parametrize("command", ["info", "prepare", "show"])
def test_errors_of_the_data_come_through(command: str) -> None:
    with pytest.raises(UserError, match=r"omniglot needs its files: .*--data, or run `leakysm data fetch omniglot`"):
        run(command, "--dataset", "omniglot")
    assert CliRunner().invoke(app, [command, "--dataset", "mnist"]).exit_code == 2


@pytest.mark.parametrize("command", ["prepare", "info", "show"])
@pytest.mark.parametrize("split", ["lake", "vinyals"])
def test_a_split_is_refused_where_there_is_no_choice(command: str, split: str) -> None:
    with pytest.raises(UserError, match="split is given, but strokes has no choice of splits; leave it out"):
        run(command, "--split", split)
