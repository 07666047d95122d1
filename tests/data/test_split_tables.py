from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leakysm.data import load
from leakysm.data.folder_or_zip import open_source
from leakysm.data.miniimagenet_classes import CLASSES
from leakysm.errors import UserError
from tests.data.conftest import noise, png, wnids, write_files, write_zip


def test_tables_give_the_splits_and_their_classes(photographs: Path) -> None:
    data = load("caltech101", photographs)
    assert data.name == "caltech101"
    assert {split: one.names for split, one in data.splits.items()} == {
        "train": ("cat", "dog", "eel"),
        "val": ("fox", "gnu"),
        "test": ("hen", "jay"),
    }
    assert all((one.counts == 4).all() for one in data.splits.values())
    expected = [noise(number, 84, 84, 3) for number in range(1, 29)]
    np.testing.assert_array_equal(np.concatenate([one.images for one in data.splits.values()]), expected)
    again = load("caltech101", photographs)
    assert again.digest == data.digest
    assert list(again.splits) == list(data.splits)


def test_miniimagenet_has_the_published_classes(miniimagenet: Path) -> None:
    data = load("miniimagenet", miniimagenet)
    assert data.name == "miniimagenet"
    assert {split: one.names for split, one in data.splits.items()} == {s: tuple(wnids(s)) for s in CLASSES}
    expected = [noise(number, 84, 84, 3) for number in range(1, 101)]
    np.testing.assert_array_equal(np.concatenate([one.images for one in data.splits.values()]), expected)


def refused(path: Path) -> str:
    """What is said of these files under miniImageNet's name, in one line that names the way out."""
    with pytest.raises(UserError, match=r"use --dataset caltech101 \(tables\) or --dataset folder") as caught:
        load("miniimagenet", path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_other_photographs_do_not_go_by_miniimagenets_name(photographs: Path) -> None:
    message = refused(photographs)
    assert message.startswith(f"{photographs} is not miniImageNet: 3 of 3 train classes are named like 'cat'")
    assert load("caltech101", photographs).name == "caltech101"


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("label", ["cat", "n0153282", "n015328290", "N01532829", "n0153282x", "n01532829\u0661"])
def test_one_other_class_is_enough_to_refuse(miniimagenet: Path, split: str, label: str) -> None:
    table = miniimagenet / f"{split}.csv"
    table.write_text(table.read_text().replace(f",{wnids(split)[-1]}", f",{label}"))
    assert f"1 of {CLASSES[split]} {split} classes are named like '{label}'" in refused(miniimagenet)


def test_an_image_in_two_splits_is_refused(photographs: Path) -> None:
    first = (photographs / "train.csv").read_text().splitlines()[1].split(",")[0]
    table = photographs / "test.csv"
    table.write_text(f"{table.read_text()}\n{first},jay\n")
    with pytest.raises(UserError, match=rf"test\.csv has the image .*{first}, which train\.csv has too"):
        load("caltech101", photographs)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_part_of_miniimagenets_classes_is_refused(miniimagenet: Path, split: str) -> None:
    table = miniimagenet / f"{split}.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]))
    message = refused(miniimagenet)
    assert f"{CLASSES[split] - 1} {split}" in message.split("expected")[0]
    assert "expected 64 train, 16 val, 20 test" in message


def test_caltech_101_is_refused_and_the_published_tables_are_not(
    caltech101_path: Path, miniimagenet_path: Path
) -> None:
    assert "64 train classes are named like 'Faces'" in refused(caltech101_path)
    with pytest.raises(UserError, match=r"names 38400 of 38400 files that"):  # the images are not at hand
        load("miniimagenet", miniimagenet_path)


def test_normalised_by_the_training_split(photographs: Path) -> None:
    data = load("caltech101", photographs)
    floats = data.inputs.to_float(data.splits["train"].images).astype(np.float64)
    allowed = 8 * np.finfo(np.float32).eps
    assert (abs(floats.mean(axis=(0, 1, 2))) <= allowed).all()
    assert (abs(floats.std(axis=(0, 1, 2)) - 1) <= allowed).all()
    assert not data.inputs.ink


def test_other_places_of_images_and_tables_give_the_same(photographs: Path, tmp_path: Path) -> None:
    expected = load("caltech101", photographs).digest
    for file in ("images.zip", "train.csv"):
        assert load("caltech101", photographs / file).digest == expected
    archive = open_source(photographs / "images.zip")
    files = {name.removeprefix("images/"): archive.read(name) for name in archive.names}
    tables = {f"{split}.csv": (photographs / f"{split}.csv").read_bytes() for split in ("train", "val", "test")}
    by_class = {f"{name[:3]}/{name}": content for name, content in files.items()}
    in_splits = {
        f"{split}/{line.split(',')[1]}/{line.split(',')[0]}": files[line.split(",")[0]]
        for split in ("train", "val", "test")
        for line in tables[f"{split}.csv"].decode().splitlines()[1:]
    }
    forms = {
        "splits": {**in_splits, **tables},
        "splits in images": {**{f"images/{name}": content for name, content in in_splits.items()}, **tables},
        "folder": {**{f"images/{name}": content for name, content in files.items()}, **tables},
        "flat": {**files, **{f"ravi/{name}": content for name, content in tables.items()}},
        "classes": {**by_class, **tables},
    }
    for form, content in forms.items():
        assert load("caltech101", write_files(tmp_path / form, content)).digest == expected


@pytest.mark.parametrize(
    "form",
    ["images/{file}", "{split}/{label}/{file}", "images/{split}/{label}/{file}", "./images/{file}", "images\\{file}"],
)
@pytest.mark.parametrize("place", ["images", "."])
def test_tables_may_name_folders(photographs: Path, tmp_path: Path, form: str, place: str) -> None:
    """`images/a0.jpg` beside a folder `images`, `<split>/<class>/<file>`, and files that lie so or flat."""
    expected = load("caltech101", photographs)
    archive = open_source(photographs / "images.zip")
    root = tmp_path / "x"
    for split in ("train", "val", "test"):
        head, *lines = (photographs / f"{split}.csv").read_text().splitlines()
        rows = [line.split(",") for line in lines]
        names = [form.format(split=split, label=label, file=file) for file, label in rows]
        table = "\n".join([head, *(f"{name},{label}" for name, (_, label) in zip(names, rows, strict=True))])
        contents = [archive.read(f"images/{file}") for file, _ in rows]
        plain = [name.replace("\\", "/").removeprefix("./").removeprefix("images/") for name in names]
        files = {f"{place}/{name}": one for name, one in zip(plain, contents, strict=True)}
        write_files(root, {**files, f"{split}.csv": table.encode()})
    found = load("caltech101", root)
    for split, one in expected.splits.items():
        np.testing.assert_array_equal(found.splits[split].images, one.images)


def test_writings_of_one_class_are_one_class(photographs: Path, tmp_path: Path) -> None:
    """A table in one encoding of é, with blanks, beside folders in another."""
    archive = open_source(photographs / "images.zip")
    tables = {split: (photographs / f"{split}.csv").read_text() for split in ("train", "val", "test")}
    tables["train"] = tables["train"].replace("cat01.png,cat", "cat01.png,caf\xe9 ").replace(",cat", ",cafe\u0301")
    folder = {"cat": "cafe\u0301"}
    files = {f"{folder.get(name[7:10], name[7:10])}/{name[7:]}": archive.read(name) for name in archive.names}
    root = write_files(tmp_path / "x", files | {f"{split}.csv": text.encode() for split, text in tables.items()})
    train = load("caltech101", root).split("train")
    assert train.names == ("cafe\u0301", "dog", "eel")
    assert (train.counts == 4).all()
    for label in ("hen", "jay"):
        tables["test"] = tables["test"].replace(f",{label}", ",caf\xe9")
    (root / "test.csv").write_text(tables["test"], "utf-8")
    with pytest.raises(UserError, match=r"test\.csv has the class caf\xe9, which train\.csv has too"):
        load("caltech101", root)


def test_an_image_under_two_names_is_refused(photographs: Path) -> None:
    with (photographs / "val.csv").open("a") as table:
        table.write("\nimages/fox13.png,fox")
    with pytest.raises(UserError, match=r"val\.csv lists images/fox13\.png 2 times, as fox13\.png, images/fox13"):
        load("caltech101", photographs)


def test_rows_in_any_order_with_windows_line_ends(photographs: Path) -> None:
    expected = load("caltech101", photographs)
    head, *rows = (photographs / "train.csv").read_text().splitlines()
    mixed = [head, *sorted(rows, key=lambda row: row[::-1][5:])]
    (photographs / "train.csv").write_bytes(("\ufeff" + "\r\n".join(mixed) + "\r\n\r\n").encode())
    assert load("caltech101", photographs).splits["train"].names == expected.splits["train"].names


def test_absent_files_are_counted_and_the_first_few_named(photographs: Path) -> None:
    with (photographs / "val.csv").open("a") as table:
        table.write("\n" + "\n".join(f"gone{k}.jpg,gnu" for k in range(7)))
    with pytest.raises(UserError, match=r"val\.csv names 7 of 15 .*hold: gone0\.jpg, gone1\.jpg, gone2\.jpg \.\.\.;"):
        load("caltech101", photographs)


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd"])
def test_a_table_cannot_name_files_elsewhere(photographs: Path, name: str) -> None:
    with (photographs / "val.csv").open("a") as table:
        table.write(f"\n{name},gnu")
    with pytest.raises(UserError, match=r"val\.csv names 1 of 9 files"):
        load("caltech101", photographs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"cat01.png,cat\n", r"begins with \['cat01.png', 'cat'\]; expected the line filename,label"),
        (b"filename,label\n", "lists no images"),
        (b"filename,label\ncat01.png\n", "has the line 'cat01.png'; expected filename,label"),
        (b"filename,label\ncat01.png,\n", "has the line 'cat01.png,'; expected filename,label"),
        (b"filename,label\ncat01.png,cat\ncat01.png,dog\n", "lists cat01.png 2 times"),
        (b"filename,label\nfox13.png,fox\n", r"val\.csv has the class fox, which train\.csv has too"),
        (b"\xff\xfe\x00", "not a readable table"),
    ],
)
def test_bad_tables_are_refused(photographs: Path, content: bytes, message: str) -> None:
    write_files(photographs, {"train.csv": content})
    with pytest.raises(UserError, match=message):
        load("caltech101", photographs)


def test_missing_tables_are_named(photographs: Path) -> None:
    (photographs / "val.csv").unlink()
    with pytest.raises(UserError, match=r"has train, test of train\.csv, val\.csv and test\.csv; add the others"):
        load("caltech101", photographs)
    for split in ("train", "test"):
        (photographs / f"{split}.csv").unlink()
    for file, mend in (
        ("x.txt", "give the folder that holds caltech101's tables and images"),
        ("cat/1.png", "it holds images in folders: use --dataset folder, or add caltech101's tables"),
        ("CIFAR_FS_train.pickle", r"CIFAR_FS_train\.pickle is no pickle that can be read: expected miniImageNet's"),
    ):
        write_files(photographs, {file: b""})
        with pytest.raises(UserError, match=rf"has no train\.csv, val\.csv and test\.csv; {mend}"):
            load("caltech101", photographs)
    write_files(photographs, {"miniImageNet_category_split_val.pickle": b""})
    with pytest.raises(UserError, match="pickles, and no tables of caltech101; use --dataset miniimagenet"):
        load("caltech101", photographs)


def test_images_of_another_size_are_refused(photographs: Path) -> None:
    archive = open_source(photographs / "images.zip")
    write_zip(photographs / "images.zip", {name: png(noise(0, 32, 48, 3)) for name in archive.names})
    with pytest.raises(UserError, match="images are 48x32, expected 84x84"):
        load("caltech101", photographs)


def test_an_image_that_is_none_is_named_with_its_archive(photographs: Path) -> None:
    archive = open_source(photographs / "images.zip")
    files = {name: archive.read(name) for name in archive.names}
    write_zip(photographs / "images.zip", {**files, "images/dog06.png": b"404: Not Found"})
    with pytest.raises(UserError, match=r"images\.zip: images/dog06\.png is not an image"):
        load("caltech101", photographs)


def test_changed_images_are_read_anew(photographs: Path) -> None:
    before = load("caltech101", photographs).digest
    archive = open_source(photographs / "images.zip")
    files = {name: archive.read(name) for name in archive.names}
    write_zip(photographs / "images.zip", {**files, "images/dog06.png": png(noise(99, 84, 84, 3))})
    assert load("caltech101", photographs).digest != before


def test_real_photographs(caltech101_path: Path) -> None:
    data = load("caltech101", caltech101_path)
    assert {name: one.n_classes for name, one in data.splits.items()} == {"train": 64, "val": 16, "test": 20}
    assert {name: len(one.images) for name, one in data.splits.items()} == {"train": 3912, "val": 1078, "test": 1208}
    assert data.image_shape == (84, 84, 3)
