from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.data import ClassSet, Dataset, load
from leakysm.data.cache import cached
from leakysm.data.folder import divide
from leakysm.data.folder_or_zip import FolderSource
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
        ({"1.png": b"", "2.png": b""}, "x holds images, not class folders; did you mean "),
        ({"1.png": b"", "labels.csv": b""}, r"x holds images and labels\.csv, but only miniimagenet and caltech101"),
        ({"images/1.png": b"", "t.csv": b""}, r"x holds images and t\.csv, .*: sort the images into a folder for each"),
        (
            bad({"1.png": b""}),
            r"1\.png is not in a class folder; the others are sorted as <class>/<image>: move or",
        ),
        (bad({"a/deep/1.png": b""}), r"a/deep/1\.png is not in a class folder; the others are sorted as <class>/"),
        (
            {**SORTED, "train/1.png": b""},
            r"1\.png is .* the others are sorted as <split>/.* \(test, train, val\): move",
        ),
        ({**SORTED, "c/1.png": b""}, r"c/1\.png is not in a class folder; the others are sorted as <split>/<class>"),
        (pictures("alpha/a/1", "beta/b/2"), r"alpha/a/1/0\.png is .*; expected <class>/<image>, or <split>/"),
        (pictures("training/a", "testing/b"), "the folder testing has the name of no split; rename testing to test"),
        (pictures("Training/a", "test/b"), "the folder Training has .*; rename Training to train"),
        (pictures("train/a", "dev/c", "test/b"), "the folder dev has the name of no split; rename dev to val"),
        (pictures("train/a", "dev/c"), "the folder dev has the name of no split; rename dev to val or test"),
        (pictures("train/a", "val/c", "tests/b"), "the folder tests has .*; rename tests to test"),
        (pictures("train/a", "val/c", "test/b", "Training/d"), "Training/d/0.png is not in a class folder; the others"),
        (pictures("train/a", "val/b", "Valid/c"), "Valid, train, val: several of them are the split val"),
        (pictures("train/a", "test/ a"), "has the class a in test and train; few-shot splits share no class"),
        (pictures("train/e\u0301", "test/\xe9"), "has the class .* in test and train; few-shot splits share no class"),
        (
            bad({"a/notes.txt": b""}),
            r"a/notes\.txt is not an image by its name; the others are sorted as <class>/<image>: move it out of a, or",
        ),
        (
            {**SORTED, "train/labels.csv": b""},
            r"train/labels\.csv is not an image by its name; the others are sorted as <split>/<class>/<image>: move",
        ),
        (bad({"a/9.png": b"text"}), r"a/9\.png is not an image that Pillow can read"),
        (
            bad({"a/9.png": png(noise(0, 8, 8))}),
            r"mixed sizes: a/0\.png is 6x8, a/9\.png 8x8; make a copy of one size: `leakysm data prepare",
        ),
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


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    root = write_files(tmp_path / "x", FLAT)
    (root / "a" / "gone.png").symlink_to("nothing.png")
    with pytest.raises(UserError, match=r"x/a/gone\.png is a link that leads to nothing; remove it$"):
        load("folder", root)
    (root / "a" / "gone.png").unlink()
    for target in ("..", "round"):
        (root / "a" / "round").symlink_to(target)
        with pytest.raises(UserError, match=r"x/a/round is a link that leads in a circle; remove it$"):
            load("folder", root)
        (root / "a" / "round").unlink()


@pytest.mark.parametrize(
    "names", [("train", "valid", "test"), ("train", "validation", "test"), ("Train", "Val", "Test")], ids=" ".join
)
def test_splits_have_the_names_that_people_give_them(tmp_path: Path, names: tuple[str, str, str]) -> None:
    usual = dict(zip(names, ("train", "val", "test"), strict=True))
    files = pictures(*(f"{name}/{usual[name]}{k}" for name in names for k in range(2)))
    data = load("folder", write_files(tmp_path / "x", files))
    assert {split: one.names for split, one in data.splits.items()} == {
        split: (f"{split}0", f"{split}1") for split in ("train", "val", "test")
    }


def test_names_of_one_class_are_one_class(tmp_path: Path) -> None:
    """Blanks at the ends, and é in two encodings."""
    root = write_files(tmp_path / "x", pictures(" a", "a", "b", "c", "d", "e\u0301", "\xe9"))
    data = load("folder", root)
    counts = {name: count for one in data.splits.values() for name, count in zip(one.names, one.counts, strict=True)}
    assert counts == {" a": 6, "b": 3, "c": 3, "d": 3, "e\u0301": 6}
    with pytest.raises(UserError, match="'a' is in train and in test; leave one out"):
        Dataset.from_arrays(np.zeros((2, 4, 4), np.uint8), ["a", " a"], splits={"train": ["a"], "test": [" a"]})


def test_a_folder_in_a_folder_stands_for_it(tmp_path: Path) -> None:
    """Windows unpacks photos.zip to photos/photos."""
    expected = load("folder", write_files(tmp_path / "x", SORTED)).digest
    doubled = {f"photos/photos/{name}": content for name, content in SORTED.items()}
    assert load("folder", write_files(tmp_path, {**doubled, "photos/README.md": b""}) / "photos").digest == expected


LISTS = {"train": "c\na\n", "val": "b\n\n", "test": "d \r\n"}


def cifar_fs(lists: dict[str, str], *classes: str) -> dict[str, bytes]:
    texts = {f"splits/bertinetto/{split}.txt": text.encode() for split, text in lists.items()}
    return texts | pictures(*(f"data/{name}" for name in classes), each=2)


def test_cifar_fs_is_read_by_its_own_lists(tmp_path: Path) -> None:
    root = write_files(tmp_path / "cifar-fs", {f"cifar100/{k}": v for k, v in cifar_fs(LISTS, *"abcd").items()})
    data = load("folder", root)
    assert {split: one.names for split, one in data.splits.items()} == {
        "train": ("a", "c"),
        "val": ("b",),
        "test": ("d",),
    }
    np.testing.assert_array_equal(data.splits["train"].images[2], noise(20, 8, 6, 3))
    (root / "cifar100/splits/bertinetto/train.txt").write_text("a")
    assert load("folder", root).splits["train"].names == ("a",)


@pytest.mark.parametrize("more", [{}, {"images.txt": b"1 a/0.png\n"}], ids=["alone", "as CUB-200-2011"])
def test_lists_may_stand_beside_images(tmp_path: Path, more: dict[str, bytes]) -> None:
    files = more | {name.replace("data/", "images/"): one for name, one in cifar_fs(LISTS, *"abcd").items()}
    data = load("folder", write_files(tmp_path / "cub", files))
    assert {split: one.names for split, one in data.splits.items()} == {
        "train": ("a", "c"),
        "val": ("b",),
        "test": ("d",),
    }
    assert not data.divided


def test_splits_may_be_called_meta(tmp_path: Path) -> None:
    root = write_files(tmp_path / "x", pictures("meta-train/a", "meta-train/b", "meta_val/c", "Meta-Test/d"))
    assert {split: one.names for split, one in load("folder", root).splits.items()} == {
        "train": ("a", "b"),
        "val": ("c",),
        "test": ("d",),
    }


def test_whether_leakysm_divided_the_classes_is_known(tmp_path: Path) -> None:
    assert load("folder", write_files(tmp_path / "x", pictures(*"abcdef"))).divided
    assert not load("folder", write_files(tmp_path / "y", pictures("train/a", "train/b", "test/c"))).divided


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (cifar_fs(LISTS, *"abc"), r"data lacks 1 of the 1 classes that the list of test names: d; add a folder"),
        (cifar_fs({**LISTS, "val": "a"}, *"abcd"), r"val\.txt has the class a, which train\.txt has too"),
        (cifar_fs({**LISTS, "val": "\n"}, *"abcd"), r"val\.txt lists no class; a text with one class a line"),
        (
            {**cifar_fs(LISTS, *"abcd"), "splits/my/test.txt": b"a"},
            "several lists .*, splits/bertinetto, splits/my; keep",
        ),
        ({**cifar_fs(LISTS, *"abcd"), "data/0.png": b""}, r"data: 0\.png is not in a class folder"),
    ],
)
def test_lists_that_do_not_fit_are_named(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load("folder", write_files(tmp_path / "x", files))


def test_cub_is_read_from_the_folder_that_it_unpacks_to(tmp_path: Path) -> None:
    texts = dict.fromkeys(("images.txt", "classes.txt", "attributes/attributes.txt", "parts/parts.txt"), b"")
    birds = {f"images/{name}": content for name, content in FLAT.items()}
    cub = write_files(tmp_path / "CUB_200_2011", texts | birds)
    assert load("folder", cub).digest == load("folder", cub / "images").digest


def test_a_cache_that_took_one_class_for_two_is_left(tmp_path: Path) -> None:
    root = write_files(tmp_path / "x", pictures("b", " b", "c", "d", "e", each=1))
    source = FolderSource(root)
    two = ClassSet(np.zeros((2, 1, 1, 1), np.uint8), np.arange(3), ("b", " b"))
    cached("folder", source.checksum(), lambda: {"all": two})
    assert sum(one.n_classes for one in load("folder", root).splits.values()) == 4


def test_empty_class_folders_are_named(tmp_path: Path) -> None:
    root = write_files(tmp_path / "x", FLAT)
    (root / "k").mkdir()
    with pytest.raises(UserError, match=r"x/k is an empty folder; put images in it, or remove it"):
        load("folder", root)


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/0.png", b"")
    with pytest.raises(UserError, match=r"x\.zip is not a folder; .*: unpack the archive"):
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
