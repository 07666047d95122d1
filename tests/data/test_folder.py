from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.data import ClassSet, load
from leakysm.data.folder import divide
from leakysm.errors import UserError
from tests.data.conftest import noise, png, write_files


def pictures(*classes: str, each: int = 3) -> dict[str, bytes]:
    return {
        f"{name}/{k}.png": png(noise(10 * number + k, 8, 6, 3))
        for number, name in enumerate(classes)
        for k in range(each)
    }


FLAT = pictures(*"abcdefghij")
SORTED = pictures("train/a", "train/b", "test/c", "test/d", "val/e", "val/f")


def test_classes_without_splits_are_divided_by_the_seed(tmp_path: Path) -> None:
    root = write_files(tmp_path / "x", {**FLAT, "README.md": b"hello"})
    data = load("folder", root)
    assert {name: one.n_classes for name, one in data.splits.items()} == {"train": 6, "val": 2, "test": 2}
    for one in data.splits.values():
        for k, name in enumerate(one.names):
            expected = [noise(10 * "abcdefghij".index(name) + sample, 8, 6, 3) for sample in range(3)]
            np.testing.assert_array_equal(one.images[one.starts[k] : one.starts[k + 1]], expected)
    assert load("folder", root).digest == data.digest
    others = [load("folder", root, seed=seed) for seed in range(1, 4)]
    assert any(other.splits["train"].names != data.splits["train"].names for other in others)
    assert len({data.digest, *(other.digest for other in others)}) == 4


@given(st.integers(4, 60), st.integers(0, 2**64 - 1))
def test_every_class_is_in_one_split_and_each_split_can_hold_an_episode(n: int, seed: int) -> None:
    pool = ClassSet(np.zeros((n, 1, 1, 1), np.uint8), np.arange(n + 1), tuple(f"{k:02d}" for k in range(n)))
    splits = divide(Path("x"), pool, seed)
    names = [name for one in splits.values() for name in one.names]
    assert sorted(names) == sorted(pool.names)
    assert all(one.n_classes >= 2 and one.names == tuple(sorted(one.names)) for one in splits.values())
    assert {"train", "test"} <= set(splits) <= {"train", "val", "test"}
    assert splits["train"].n_classes >= n // 2


def test_splits_are_taken_as_they_are(tmp_path: Path) -> None:
    data = load("folder", write_files(tmp_path / "x", SORTED))
    assert {name: one.names for name, one in data.splits.items()} == {
        "train": ("a", "b"),
        "val": ("e", "f"),
        "test": ("c", "d"),
    }
    np.testing.assert_array_equal(data.splits["test"].images[0], noise(20, 8, 6, 3))
    assert data.image_shape == (8, 6, 3)


def test_a_test_split_alone_will_do(tmp_path: Path) -> None:
    data = load("folder", write_files(tmp_path / "x", pictures("test/a", "test/b")))
    assert list(data.splits) == ["test"]


@pytest.mark.parametrize("absent", ["train", "val", "test"])
def test_an_absent_split_is_to_be_added_to_the_folder(tmp_path: Path, absent: str) -> None:
    root = tmp_path / "x"
    files = {name: content for name, content in SORTED.items() if not name.startswith(absent)}
    data = load("folder", write_files(root, files))
    with pytest.raises(UserError) as caught:
        data.split(absent)
    there = ", ".join(split for split in ("train", "val", "test") if split != absent)
    assert str(caught.value) == (
        f"{root} has no split '{absent}', only {there}; add {root / absent} with a folder for each class"
    )
    write_files(root, {name: content for name, content in SORTED.items() if name.startswith(absent)})
    assert load("folder", root).split(absent).n_classes == 2  # the mend mends
    with pytest.raises(UserError, match="has no split 'exam'; choose"):
        data.split("exam")


def test_classes_too_few_for_a_val_split_are_not_told_to_add_one(tmp_path: Path) -> None:
    data = load("folder", write_files(tmp_path / "x", pictures(*"abcd")))
    with pytest.raises(UserError, match="folder has no split 'val'; choose one of train, test"):
        data.split("val")


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    files = {f"{name}/{k}.png": png(noise(k, 8, 6)) for name in "abcd" for k in range(2)}
    assert load("folder", write_files(tmp_path / "x", files)).image_shape == (8, 6, 1)


def bad(files: dict[str, bytes]) -> dict[str, bytes]:
    return {**FLAT, **files}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is an empty folder; expected <class>/<image>, or <split>/<class>/<image>"),
        ({"README.md": b""}, "holds no images in folders"),
        ({"1.png": b""}, r"1\.png is in no class's folder"),
        (bad({"1.png": b""}), r"1\.png is in no class's folder"),
        (bad({"a/deep/1.png": b""}), r"a/deep/1\.png is in no class's folder"),
        ({**SORTED, "train/1.png": b""}, "is in no class's folder"),
        (bad({"a/notes.txt": b""}), r"a/notes\.txt is not an image by its name; move it out of a, or"),
        ({**SORTED, "train/labels.csv": b""}, r"train/labels\.csv is not an image by its name; move it out of train"),
        (bad({"a/9.png": b"text"}), r"a/9\.png is not an image that Pillow can read"),
        (bad({"a/9.png": png(noise(0, 8, 8))}), r"mixed sizes: a/0\.png is 6x8, a/9\.png 8x8; resize"),
        (pictures("train/a", "train/b", "test/a"), "has the class a in test and train; few-shot splits share no class"),
        (pictures(*"abc"), "has 3 classes, too few to divide into train and test; give 4 or more"),
    ],
)
def test_what_is_amiss_is_named(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    root = tmp_path / "x"
    root.mkdir()
    with pytest.raises(UserError, match=message) as caught:
        load("folder", write_files(root, files))
    assert "\n" not in str(caught.value)


def test_empty_class_folders_are_named(tmp_path: Path) -> None:
    root = write_files(tmp_path / "x", FLAT)
    (root / "k").mkdir()
    with pytest.raises(UserError, match=r"x/k is an empty folder; put images in it, or remove it"):
        load("folder", root)


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    file = write_files(tmp_path, {"x.zip": b""}) / "x.zip"
    with pytest.raises(UserError, match=r"x\.zip is not a folder; .*unpack the archive first"):
        load("folder", file)


def test_a_changed_image_is_read_anew(tmp_path: Path) -> None:
    root = write_files(tmp_path / "x", FLAT)
    before = load("folder", root).digest
    write_files(root, {"a/0.png": png(noise(999, 8, 6, 3))})
    assert load("folder", root).digest != before


@pytest.mark.skipif(os.name != "posix", reason="a file's name is bytes")
def test_names_of_classes_may_be_any_bytes(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path / "x")
    for name, content in FLAT.items():
        path = Path(os.fsdecode(root + b"/\xff" + os.fsencode(name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    first, again = (load("folder", tmp_path / "x", cache_dir=tmp_path / "cache") for _ in range(2))
    assert first.digest == again.digest
    assert sorted(name for one in again.splits.values() for name in one.names)[0] == "\udcffa"
