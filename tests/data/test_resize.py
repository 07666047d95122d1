"""`leakysm data prepare --size`: a copy of one size, as predict resizes images, in the layout that was read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from leakysm_cli.data import app
from PIL import Image
from typer.testing import CliRunner

from leakysm.data import load
from leakysm.data.images import to_input_format
from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError
from leakysm.files import UnwritableError
from tests.data.conftest import noise, png, write_files

INPUTS = InputFormat.unscaled((84, 84, 3))


def photograph(number: int) -> bytes:
    """A JPEG of a size of its own, grey if the number is even."""
    buffer = io.BytesIO()
    Image.fromarray(noise(number, 90 + number, 70, *[3] * (number % 2))).save(buffer, "JPEG")
    return buffer.getvalue()


def prepare(*arguments: str | Path) -> str:
    """What the command prints. It raises the command's error."""
    result = CliRunner().invoke(app, ["prepare", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result.output


CUB = {f"images/{k // 2:03}.Bird/{k}.jpg": photograph(k) for k in range(8)}
TWO_CLASSES = {"train": "a", "test": "b"}
CUB_TEXTS = dict.fromkeys(("images.txt", "attributes/attributes.txt"), b"")


def test_mixed_sizes_become_one_as_predict_would_resize_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cub = write_files(tmp_path / "CUB_200_2011", CUB | CUB_TEXTS)
    with pytest.raises(UserError, match=r"mixed sizes: .*; make a copy of one size: `leakysm data prepare --size 84`"):
        load("folder", cub)
    output = prepare("--dataset", "folder", "--data", cub, "--size", 84)
    assert "images of 84x84 are in CUB_200_2011-84: use --data CUB_200_2011-84" in output
    assert "folder: 8 images ready" in output
    data = load("folder", tmp_path / "CUB_200_2011-84")
    found = {
        name: one.images[k] for one in data.splits.values() for name, k in zip(one.names, one.starts, strict=False)
    }
    assert sorted(found) == ["000.Bird", "001.Bird", "002.Bird", "003.Bird"]
    for k, (_, image) in enumerate(sorted(found.items())):
        np.testing.assert_array_equal(image, to_input_format(CUB[f"images/{k:03}.Bird/{2 * k}.jpg"], "x", INPUTS))
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_splits_and_lists_are_kept(tmp_path: Path) -> None:
    lists = {f"splits/my/{split}.txt": f"{split}0\n{split}1".encode() for split in ("train", "test")}
    files = {f"data/{split}{k}/0.jpg": photograph(k) for split in ("train", "test") for k in range(2)}
    out = tmp_path / "out"
    prepare("--dataset", "folder", "--data", write_files(tmp_path / "x", files | lists), "--size", 20, "--out", out)
    data = load("folder", out)
    assert {split: one.names for split, one in data.splits.items()} == {
        s: (f"{s}0", f"{s}1") for s in ("train", "test")
    }
    assert data.image_shape == (20, 20, 3)
    prepare("--dataset", "folder", "--data", out, "--size", 16, "--out", tmp_path / "again")
    assert sorted((tmp_path / "again").iterdir()) == [tmp_path / "again" / "test", tmp_path / "again" / "train"]


def test_tables_go_with_their_images(tmp_path: Path) -> None:
    classes = {"train": "ab", "val": "cd", "test": "ef"}
    tables = {
        f"{split}.csv": "\n".join(["filename,label", *(f'"{name}, 1.jpg",{name}' for name in names)]).encode()
        for split, names in classes.items()
    }
    files = {f"images/{name}, 1.jpg": photograph(ord(name)) for names in classes.values() for name in names}
    root, out = write_files(tmp_path / "x", tables | files), tmp_path / "out"
    prepare("--dataset", "caltech101", "--data", root, "--size", 84, "--out", out)
    data = load("caltech101", out)
    assert {split: "".join(one.names) for split, one in data.splits.items()} == classes
    np.testing.assert_array_equal(data.split("test").images[1], to_input_format(files["images/f, 1.jpg"], "x", INPUTS))


def test_nothing_is_left_of_a_copy_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_files(tmp_path / "x", {**CUB, "images/003.Bird/9.png": b"text"})
    command = ("--dataset", "folder", "--data", root, "--size", 84, "--out", tmp_path / "new" / "out")
    with pytest.raises(UserError, match=r"003\.Bird/9\.png is not an image that Pillow can read"):
        prepare(*command)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UnwritableError, match=r"new/out: cannot be written \(No space left on device\)"):
        prepare(*command)
    assert [*(tmp_path / "new").iterdir()] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dataset", "folder", "--data", "x", "--size", "84", "--out", "y"), "y exists already; use it with --data"),
        (("--dataset", "folder", "--data", "x", "--size", "84", "--out", "x/z"), "--out is x/z, among the data in x"),
        (("--dataset", "folder", "--data", "x", "--out", "z"), "--out needs --size; add it"),
        (("--dataset", "folder", "--data", "none", "--size", "84"), "none: no such file or folder"),
        (("--dataset", "omniglot", "--data", "x", "--size", "84"), "omniglot has a fixed size"),
        (
            ("--dataset", "folder", "--data", "x", "--size", "4097"),
            "--size is 4097, expected at most 4096; give a smal",
        ),
        (
            ("--dataset", "folder", "--data", "x", "--size", "84", "--split", "lake"),
            "split is given, but folder has no choice of splits; leave it out",
        ),
        (
            ("--dataset", "caltech101", "--data", "x", "--size", "64"),
            "--size is 64, and caltech101 has images of 84x84",
        ),
        (
            ("--dataset", "miniimagenet", "--data", "p", "--size", "84"),
            "p holds pickles, whose images are 84x84 already",
        ),
        (
            ("--dataset", "folder", "--data", "q", "--size", "84"),
            r"copies of a/0\.jpg and a/0\.jpg\.png would have one name",
        ),
        (
            ("--dataset", "folder", "--data", "lists", "--size", "84"),
            r"lists/data: the copies of a/0\.jpg and a/0\.jpg\.png would have one name",
        ),
    ],
)
def test_bad_use_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x/a/0.png", "y/a/0.png", "p/mini-imagenet-cache-val.pkl", "q/a/0.jpg", "q/a/0.jpg.png"):
        write_files(tmp_path, {name: png(noise(0, 4, 4))})
    pictures = [f"lists/data/{name}" for name in ("a/0.jpg", "a/0.jpg.png", "b/0.jpg")]
    write_files(tmp_path, dict.fromkeys(pictures, png(noise(0, 4, 4))))
    write_files(tmp_path, {f"lists/splits/s/{split}.txt": f"{one}\n".encode() for split, one in TWO_CLASSES.items()})
    with pytest.raises(UserError, match=message):
        prepare(*options)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["lists", "p", "q", "x", "y"]
